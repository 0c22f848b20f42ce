"""Uncertain deliveries are settled by what the relay's log proves, and by nothing less."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import building as b
import pytest
from sqlalchemy import select, update

from mailer.domain.consent import Method
from mailer.domain.deliveries import DeliveryState
from mailer.domain.evidence import MARGIN, Doubt, Finding, Said
from mailer.services.campaigns.course import (
    CannotCampaign,
    cancel_campaign,
    finish_done,
)
from mailer.services.consent.preferences import leave
from mailer.services.delivery.reconciling import (
    Inquiry,
    NothingUncertain,
    Settled,
    begin_inquiry,
    described,
    settle_findings,
)
from mailer.store.consents import Evidence
from mailer.store.ledger import Settlement, exchange
from mailer.store.models import Campaign, Subscriber, attempt, delivery
from mailer.transports import Unknown
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

DOUBTFUL = ("reader0", "reader1", "reader2")
READERS = 8


@pytest.fixture
def campaign_id(parts: Parts) -> int:
    """A campaign that has been sent, but for three mails whose fate nobody knows."""
    campaign_id = b.sending_campaign(parts, READERS)
    script = {f"{name}@readers.test": [Unknown("reset")] for name in DOUBTFUL}
    b.send_all(parts, MemoryTransport(script=script))
    with parts.sessions.begin() as session:  # those that went down with a connection go again
        session.execute(update(delivery).values(next_at=b.NOW - timedelta(days=365)))
    b.send_all(parts, MemoryTransport())
    with parts.sessions.begin() as session:
        finish_done(session, now=parts.now())
    return campaign_id


def ids(parts: Parts) -> dict[str, int]:
    """Return the reader's name → the delivery's id."""
    with parts.sessions() as session:
        rows = session.execute(
            select(Subscriber.email, delivery.c.id).join(
                delivery, delivery.c.subscriber_id == Subscriber.id
            )
        )
        return {email.partition("@")[0]: number for email, number in rows}


def log_of(
    parts: Parts, names: Iterable[str], *, of: str = "MEMORY", ended: bool = True
) -> list[bytes]:
    """Return the relay's log: it covers everything, and these readers' mails are in it."""
    begin, now, end = (
        f"{parts.now() + moved:%b %d %H:%M:%S} relay postfix/"
        for moved in (-MARGIN - timedelta(hours=1), timedelta(), MARGIN + timedelta(minutes=1))
    )
    lines = [f"{begin}smtpd[1]: connect from localhost[127.0.0.1]"]
    for name in names:
        token = parts.identity.delivery_token(ids(parts)[name])
        queue_id = of if name not in DOUBTFUL else f"DOUBT{name[-1]}"
        lines += [
            f"{now}smtpd[1]: {queue_id}: client=localhost[127.0.0.1]",
            f"{now}cleanup[2]: {queue_id}: message-id=<{token}@news.test>",
            f"{now}qmgr[3]: {queue_id}: from=<w@news.test>, size=1, nrcpt=1 (queue active)",
        ]
    lines += [f"{end}smtpd[1]: connect from localhost[127.0.0.1]"] if ended else []
    return [line.encode() for line in lines]


SURE = [f"reader{number}" for number in range(len(DOUBTFUL), READERS)]


def ask(parts: Parts, campaign_id: int, *logs: list[bytes], resend: bool = False) -> Inquiry:
    with parts.sessions() as session:
        inquiry = begin_inquiry(
            session, session.get_one(Campaign, campaign_id), identity=parts.identity, zone=UTC,
            resend_missing=resend, now=parts.now(),
        )  # fmt: skip
    for log in logs:
        inquiry.read(log, "mail.log")
    return inquiry


def settle(
    parts: Parts,
    campaign_id: int,
    findings: list[tuple[Doubt, Finding]],
    *,
    resend: bool = False,
) -> Settled:
    with parts.sessions.begin() as session:
        return settle_findings(
            session, session.get_one(Campaign, campaign_id), findings,
            resend_missing=resend, now=parts.now(),
        )  # fmt: skip


def states(parts: Parts) -> list[str]:
    found = b.states(parts)
    return [found[f"{name}@readers.test"] for name in DOUBTFUL]


def test_what_the_log_shows_as_queued_is_sent_and_the_rest_stays_uncertain(
    parts: Parts, campaign_id: int
) -> None:
    findings = ask(parts, campaign_id, log_of(parts, ["reader0", *SURE])).findings()
    assert settle(parts, campaign_id, findings) == (1, 0)
    assert states(parts) == ["sent", "uncertain", "uncertain"]
    assert b.campaign_state(parts, campaign_id) == "finished"
    with parts.sessions() as session:
        row = session.execute(select(delivery).where(delivery.c.id == ids(parts)["reader0"])).one()
        tries = session.execute(
            select(attempt).where(attempt.c.delivery_id == row.id).order_by(attempt.c.fence)
        ).all()
    assert row.relay_queue_id == "DOUBT0"
    assert [(each.fence, each.outcome, each.stage) for each in tries] == [
        (1, "uncertain", "dot"),
        (2, "sent", "log"),
    ]
    assert tries[1].reply.startswith("the relay's log: queued as DOUBT0 at 20")
    assert row.last_reply == tries[1].reply


def test_what_the_log_proves_to_be_missing_goes_again_with_the_same_message_id(
    parts: Parts, campaign_id: int
) -> None:
    log = log_of(parts, ["reader0", *SURE])
    findings = ask(parts, campaign_id, log, resend=True).findings()
    assert settle(parts, campaign_id, findings, resend=True) == (1, 2)
    assert states(parts) == ["sent", "queued", "queued"]
    assert b.campaign_state(parts, campaign_id) == "sending"
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert set(b.states(parts).values()) == {"sent"}
    assert len(transport.accepted) == 2
    mails = b"".join(content for _, content in transport.accepted)
    for name in ("reader1", "reader2"):
        assert parts.identity.message_id(ids(parts)[name]).encode() in mails


def test_doing_it_again_changes_nothing(parts: Parts, campaign_id: int) -> None:
    log = log_of(parts, ["reader0", *SURE])
    findings = ask(parts, campaign_id, log).findings()
    assert settle(parts, campaign_id, findings, resend=True) == (1, 2)
    before = b.states(parts)
    assert settle(parts, campaign_id, findings, resend=True) == (0, 0)
    assert b.states(parts) == before
    with pytest.raises(NothingUncertain):
        ask(parts, campaign_id)


def without(log: list[bytes], words: bytes) -> list[bytes]:
    return [line for line in log if words not in line]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("of another relay", "not the whole log"),
        ("with a hole", "not the whole log"),
        ("cut short", "does not cover"),
        ("in two pieces", "does not cover"),
        ("dropped lines", "dropped"),
        ("of another hour", "--log-zone"),
    ],
)
def test_a_log_that_proves_nothing_sends_nothing_again(
    parts: Parts, campaign_id: int, what: str, reason: str
) -> None:
    logs = [log_of(parts, SURE)]
    match what:
        case "of another relay":
            logs = [log_of(parts, SURE, of="OTHER1")]
        case "with a hole":
            logs = [log_of(parts, SURE[:-1])]
        case "cut short":
            logs = [log_of(parts, SURE, ended=False)]
        case "in two pieces":
            begins, ends = log_of(parts, [])
            logs = [[begins], [*log_of(parts, SURE, ended=False)[1:], ends]]
        case "dropped lines":
            now = f"{parts.now():%b %d %H:%M:%S}"
            logs[0].insert(1, f"{now} relay systemd-journald[7]: Suppressed 3 messages".encode())
        case "of another hour":
            past = datetime.now(UTC) - timedelta(hours=1)
            logs = [[f"{past:%b %d %H:%M:%S}".encode() + line[15:] for line in logs[0]]]
    findings = ask(parts, campaign_id, *logs).findings()
    assert [finding.said for _, finding in findings] == [None] * 3
    assert all(reason in finding.reason for _, finding in findings), findings
    assert settle(parts, campaign_id, findings, resend=True) == (0, 0)
    assert states(parts) == ["uncertain"] * 3


def test_a_mail_that_the_log_only_sees_begin_stays_uncertain(
    parts: Parts, campaign_id: int
) -> None:
    log = without(log_of(parts, ["reader0", *SURE]), b"DOUBT0: from=")
    findings = ask(parts, campaign_id, log).findings()
    assert [finding.said for _, finding in findings] == [
        Said.SEEN, Said.NOT_ACCEPTED, Said.NOT_ACCEPTED,
    ]  # fmt: skip
    assert settle(parts, campaign_id, findings, resend=True) == (0, 2)
    assert states(parts)[0] == "uncertain"
    with parts.sessions() as session:
        campaign = session.get_one(Campaign, campaign_id)
        (seen, *_) = described(session, campaign, findings, identity=parts.identity)
    assert (seen["email"], seen["finding"], seen["queue_id"]) == (
        "reader0@readers.test", "seen", "DOUBT0",
    )  # fmt: skip


def test_mails_that_a_log_has_settled_do_not_vouch_for_a_log(
    parts: Parts, campaign_id: int
) -> None:
    """Or the log of a relay behind ours, which shows a few mails, would vouch for itself."""
    with parts.sessions.begin() as session:
        session.execute(
            update(delivery).where(delivery.c.state == "sent").values(relay_queue_id=None)
        )
    first = log_of(parts, ["reader0"])
    assert settle(parts, campaign_id, ask(parts, campaign_id, first).findings()) == (1, 0)
    findings = ask(parts, campaign_id, first).findings()
    assert all("to compare" in finding.reason for _, finding in findings)


def test_what_has_changed_while_the_log_was_read_is_left_alone(
    parts: Parts, campaign_id: int
) -> None:
    findings = ask(parts, campaign_id, log_of(parts, ["reader0", *SURE])).findings()
    with parts.sessions.begin() as session:
        b.decide(session, session.get_one(Campaign, campaign_id), "sent", parts.now())
    assert settle(parts, campaign_id, findings, resend=True) == (0, 0)
    assert states(parts) == ["presumed_sent"] * 3


def test_a_worker_that_still_tells_something_changes_nothing_after_the_log(
    parts: Parts, campaign_id: int
) -> None:
    findings = ask(parts, campaign_id, log_of(parts, SURE)).findings()
    assert settle(parts, campaign_id, findings, resend=True) == (0, 3)
    doubt = findings[0][0]
    late = Settlement(
        doubt.id, doubt.period, doubt.fence, DeliveryState.SENT, "r", "dot", "250 late"
    )
    with parts.sessions.begin() as session:
        held, _ = exchange(session.connection(), [late], [], lease=timedelta(minutes=1))
    assert held == [False]
    assert states(parts) == ["queued"] * 3


def test_of_a_cancelled_campaign_nothing_goes_again_but_what_was_taken_is_noted(
    parts: Parts, campaign_id: int
) -> None:
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        campaign.state = "sending"
        cancel_campaign(session, campaign, now=parts.now())
    log = log_of(parts, ["reader0", *SURE])
    with pytest.raises(CannotCampaign, match="is cancelled"):
        ask(parts, campaign_id, log, resend=True)
    findings = ask(parts, campaign_id, log).findings()
    assert settle(parts, campaign_id, findings) == (1, 0)
    with pytest.raises(CannotCampaign):
        settle(parts, campaign_id, findings, resend=True)
    assert states(parts) == ["sent", "uncertain", "uncertain"]


def test_who_left_in_the_meantime_gets_nothing_though_the_mail_is_missing(
    parts: Parts, campaign_id: int
) -> None:
    with parts.sessions.begin() as session:
        reader = session.scalars(
            select(Subscriber).where(Subscriber.email == "reader1@readers.test")
        ).one()
        token = parts.links.unsubscribe(1, reader.id).rpartition("/")[2]
        leave(session, parts.signer, token, Evidence(Method.ONE_CLICK), now=parts.now())
    findings = ask(parts, campaign_id, log_of(parts, SURE)).findings()
    assert settle(parts, campaign_id, findings, resend=True) == (0, 3)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert states(parts) == ["sent", "withdrawn", "sent"]
    assert len(transport.accepted) == 2
