"""`mailer campaign reconcile --log`: what it answers, and what it refuses."""

from __future__ import annotations

import gzip
import io
from datetime import timedelta
from pathlib import Path

import building as b
import pytest
from shells.conftest import Command
from sqlalchemy import select, update

from mailer.domain.evidence import MARGIN
from mailer.store.models import Subscriber, delivery
from mailer.transports import Unknown
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts, open_parts

DOUBTFUL = ("amina@readers.test", "bola@readers.test")


@pytest.fixture
def sent(weekly: Command) -> Command:
    """Campaign 1 went to three readers; of two of them nobody knows."""
    for email in (DOUBTFUL[1], "chidi@readers.test"):
        weekly("subscriber", "add", "weekly", email, "--purpose", "updates", "--source", "paper")
    letter = Path("letter.html")
    letter.write_text("<p>News</p>", "utf-8")
    made = weekly(
        *("campaign", "create", "weekly", "--purpose", "updates"),
        *("--subject", "News", "--html", str(letter), "--json"),
    )
    assert made.status == 0, made.err
    assert weekly("campaign", "send", "1").status == 0
    parts = open_parts()
    b.prepare_campaign(
        parts.sessions, 1, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    b.send_all(parts, MemoryTransport(script={each: [Unknown("reset")] for each in DOUBTFUL}))
    with parts.sessions.begin() as session:
        session.execute(update(delivery).values(next_at=b.NOW - timedelta(days=365)))
    b.send_all(parts, MemoryTransport())
    assert sorted(b.states(parts).values()) == ["sent", "uncertain", "uncertain"]
    return weekly


def log_of(parts: Parts, *emails: str) -> bytes:
    """Return a log that covers everything, with the sure mail and these."""
    with parts.sessions() as session:
        ids = dict(
            session.execute(
                select(Subscriber.email, delivery.c.id).join(
                    delivery, delivery.c.subscriber_id == Subscriber.id
                )
            ).all()
        )
    begin, now, end = (
        (parts.now() + moved).isoformat(timespec="milliseconds")
        for moved in (-MARGIN - timedelta(hours=1), timedelta(), MARGIN + timedelta(minutes=1))
    )
    lines = [f"{begin} relay postfix/smtpd[1]: connect from localhost[127.0.0.1]"]
    for place, email in enumerate(("chidi@readers.test", *emails)):
        queue_id = f"DOUBT{place}" if place else "MEMORY"
        token = parts.identity.delivery_token(ids[email])
        lines += [
            f"{now} relay postfix/cleanup[2]: {queue_id}: message-id=<{token}@news.test>",
            f"{now} relay postfix/qmgr[3]: {queue_id}: from=<w@n.test>, size=1, nrcpt=1 "
            "(queue active)",
        ]
    return "\n".join(
        [*lines, f"{end} relay postfix/smtpd[1]: disconnect from unknown", ""]
    ).encode()


def test_a_log_settles_what_it_proves_and_says_the_rest(sent: Command) -> None:
    log = Path("mail.log.1.gz")
    log.write_bytes(gzip.compress(log_of(open_parts(), DOUBTFUL[0])))
    tried = sent("campaign", "reconcile", "1", "--log", str(log), "--dry-run")
    assert tried.status == 0, tried.err
    assert "By the log: 1 accepted, 1 not accepted. Nothing was changed (dry run)." in tried.out
    assert "bola@readers.test: not in the log, so that it was not accepted" in tried.err
    assert set(b.states(open_parts()).values()) == {"sent", "uncertain"}

    done = sent("campaign", "reconcile", "1", "--log", str(log), "--json")
    assert done.status == 0, done.err
    answer = done.document
    assert (answer["reconciled"], answer["settled_as_sent"], answer["requeued"]) == (1, 1, 0)
    assert answer["counts"]["sent"] == 2
    assert answer["logs"][0]["format"] == "Postfix"
    by_email = {each["email"]: each for each in answer["findings"]}
    assert by_email[DOUBTFUL[0]]["queue_id"] == "DOUBT1"
    assert by_email[DOUBTFUL[1]]["reason"] == "not in the log"

    again = sent("campaign", "reconcile", "1", "--log", str(log), "--resend-missing")
    assert again.status == 0, again.err
    assert "Settled as sent: 0; back in the queue: 1." in again.out
    assert "bola" not in again.err
    over = sent("campaign", "reconcile", "1", "--log", str(log))
    assert (over.status, over.out) == (1, "")
    assert over.err.strip() == "mailer: Campaign 1 has no uncertain deliveries."


def test_a_log_from_standard_input_without_a_zone_is_taken_for_local_time(
    sent: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = b"Nov 24 09:00:00 relay postfix/smtpd[1]: connect from localhost[127.0.0.1]\n"
    for zone, words in ((), "no zone"), (("--log-zone", "Africa/Lagos"), ""):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(raw))))
        done = sent("campaign", "reconcile", "1", "--log", "-", *zone)
        assert done.status == 0, done.err
        assert words in done.err
        assert "2 unclear" in done.out
        assert "stays uncertain: unclear, 1 of 1 mails that the relay surely took are" in done.err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["1"], 2, "--log, or a decision with --presume"),
        (["1", "--log", "letter.html", "--presume", "sent"], 2, "--log, or a decision"),
        (["1", "--presume", "sent", "--dry-run"], 2, "go with --log"),
        (["1", "--presume", "maybe"], 2, "choose sent or resend"),
        (["1", "--log", "missing"], 1, "Cannot read missing (No such file or directory)"),
        (["1", "--log", "."], 1, "Cannot read . (Is a directory)"),
        (["1", "--log", "letter.html"], 1, "letter.html has no line of a mail log"),
        (["1", "--log", "cut.gz"], 1, "cut.gz is damaged or cut off"),
        (["1", "--log", "letter.html", "--log-zone", "Mars"], 1, "is not a time zone"),
        (["9", "--log", "letter.html"], 1, "9"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    sent: Command, arguments: list[str], status: int, words: str
) -> None:
    Path("cut.gz").write_bytes(gzip.compress(b"Nov 24" * 1_000)[:-10])
    refused = sent("campaign", "reconcile", *arguments)
    assert refused.status == status
    assert words in refused.err
    assert refused.out == ""
    assert status == 2 or len(refused.err.strip().splitlines()) == 1
    assert "uncertain" in b.states(open_parts()).values()
