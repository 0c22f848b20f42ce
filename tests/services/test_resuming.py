"""Going on after a restoration: what has happened since is not undone, and nobody gets it twice."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import building as b
import pytest
from backups import Backup
from building import NOW
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from mailer.domain.addresses import parse_address
from mailer.domain.approvals import Verdict
from mailer.domain.consent import ConsentState, Method
from mailer.services.campaigns.course import resume_campaign
from mailer.services.campaigns.deciding import Decision, decide
from mailer.services.campaigns.reports import deliveries
from mailer.services.consent.preferences import withdraw
from mailer.services.consent.witnessing import look_for_rollback, visit
from mailer.services.digests.approvals import decide_by_mail
from mailer.services.digests.digests import add_digest, begin_run, resume_digest, run_digest
from mailer.services.digests.editing import Approver
from mailer.services.operations.resuming import Resumed, WrongFolder, resume
from mailer.services.operations.tick import tick
from mailer.services.privacy.erasing import erase_again
from mailer.store.consents import Evidence, record
from mailer.store.halting import halted_reason
from mailer.store.models import (
    Campaign,
    ConsentEvent,
    Digest,
    Erasure,
    Installation,
    Newsletter,
    OperatorAction,
    Subscriber,
    Subscription,
    Suppression,
)
from mailer.store.suppressions import lift, standing, suppress
from mailer.store.witness_folder import WitnessFolder
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

NEXT_DAY = NOW + timedelta(days=1)
COMPLAINT = b.SuppressionReason.COMPLAINT


def test_nobody_who_has_left_since_is_brought_back(parts: Parts) -> None:
    backup = begun(parts, 6)
    with parts.sessions.begin() as session:
        withdraw(session, reader(session, 0), Evidence(Method.ONE_CLICK), now=NEXT_DAY)
        suppress(session, reader(session, 1).address_hash, COMPLAINT, now=NEXT_DAY)
        erased = reader(session, 2)
        hashed, number = erased.address_hash, erased.id
        erase_again(session, hashed, number, method="cli", at=NEXT_DAY, now=NEXT_DAY)
    restored(parts, backup)
    with parts.sessions() as session:  # nothing of it is known here
        assert set(session.scalars(select(Subscription.state))) == {"active"}
        assert session.scalar(select(func.count()).select_from(Suppression)) == 0
    done = resumed(parts)
    assert (done.withdrawn, done.suppressed, done.erased, done.unreadable) == (1, 1, 1, 0)
    with parts.sessions() as session:
        left = session.scalars(select(Subscription).where(Subscription.state == "left")).one()
        event = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id.desc())).first()
        assert left.subscriber_id == reader(session, 0).id
        assert event is not None
        assert (event.state, event.method) == ("terminated", "erasure") or event.stated_at
        assert standing(session, reader(session, 1).address_hash)[0].reason == "complaint"
        assert session.scalar(select(Subscriber).where(Subscriber.address_hash == hashed)) is None
        assert standing(session, hashed)[0].reason == "erasure"
        assert session.scalars(select(Erasure.subscriber_id)).one() == number
    assert b.evidences(parts)[-1]["source"].startswith("journal of withdrawals: event ")
    with parts.sessions() as session:
        act = session.scalars(select(OperatorAction)).one()
        assert (act.operator, act.action) == ("amina@desk", "db resume")
        assert act.details["withdrawn"] == 1


def test_the_withdrawal_keeps_its_method_and_its_time(parts: Parts) -> None:
    backup = begun(parts, 1)
    with parts.sessions.begin() as session:
        withdraw(session, reader(session, 0), Evidence(Method.MAILTO), now=NEXT_DAY)
        [first] = session.scalars(select(ConsentEvent.event_id).where(ConsentEvent.at == NEXT_DAY))
    restored(parts, backup)
    resumed(parts)
    with parts.sessions() as session:
        event = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id)).all()[-1]
        assert (event.state, event.method, event.stated_at) == ("withdrawn", "mailto", NEXT_DAY)
    assert b.evidences(parts)[-1]["source"] == f"journal of withdrawals: event {first}"


def test_who_came_back_before_the_halt_was_ended_stays(parts: Parts) -> None:
    backup = begun(parts, 1)
    with parts.sessions.begin() as session:
        withdraw(session, reader(session, 0), Evidence(Method.ONE_CLICK), now=NEXT_DAY)
    restored(parts, backup)
    later = NEXT_DAY + timedelta(hours=1)
    with parts.sessions.begin() as session:
        back = reader(session, 0)
        purpose = session.scalars(select(Newsletter)).one().purposes[0]
        withdraw(session, back, Evidence(Method.PREFERENCES), now=later)
        asked = Evidence(Method.PREFERENCES)
        record(session, back, purpose, ConsentState.GIVEN, asked, now=later)
    assert resumed(parts).withdrawn == 0
    assert b.subscriptions(parts) == {"updates": "active"}


def test_who_refused_after_leaving_is_at_least_withdrawn(parts: Parts) -> None:
    """In the backup the consent stands; the journal's last word cannot follow it directly."""
    backup = begun(parts, 1)
    with parts.sessions.begin() as session:
        session.execute(update(Subscription).values(state="pending"))
    with parts.sessions.begin() as session:
        purpose = session.scalars(select(Newsletter)).one().purposes[0]
        refused = Evidence(Method.CONFIRM)
        assert record(
            session, reader(session, 0), purpose, ConsentState.REFUSED, refused, now=NEXT_DAY
        )
    restored(parts, backup)
    assert resumed(parts).withdrawn == 1
    assert b.subscriptions(parts) == {"updates": "left"}


def test_what_was_lifted_since_is_not_suppressed_again(parts: Parts) -> None:
    backup = begun(parts, 1)
    with parts.sessions.begin() as session:
        suppress(session, "lifted", COMPLAINT, now=NEXT_DAY)
        lift(session, "lifted", now=NEXT_DAY)
        for _ in range(2):
            suppress(session, "again", COMPLAINT, now=NEXT_DAY, scope="weekly")
            lift(session, "again", scope="weekly", now=NEXT_DAY)
        suppress(session, "again", COMPLAINT, now=NEXT_DAY, scope="weekly")
    restored(parts, backup)
    assert resumed(parts).suppressed == 1
    with parts.sessions() as session:
        assert standing(session, "lifted") == []
        assert [each.scope for each in standing(session, "again")] == ["weekly"]


def test_a_restoration_never_takes_anybody_off_the_list(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        suppress(session, "here", COMPLAINT, now=NOW)
    backup = begun(parts, 1)
    with parts.sessions.begin() as session:
        lift(session, "here", now=NEXT_DAY)
    restored(parts, backup)
    resumed(parts)
    with parts.sessions() as session:
        assert len(standing(session, "here")) == 1


def test_nobody_gets_a_second_mail_unless_the_operator_says_so(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 4)
    backup = marked(parts)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert len(transport.accepted) == 4
    restored(parts, backup)
    b.send_all(parts, transport)
    done = resumed(parts)
    assert (done.campaigns, done.uncertain) == ([campaign_id], 4)
    tick(parts.sessions, now=parts.now)
    b.send_all(parts, transport)
    assert len(transport.accepted) == 4
    assert set(b.states(parts).values()) == {"uncertain"}
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert campaign.state == "paused"
        assert campaign.paused_reason.startswith("restored from a backup")
        rows = deliveries(session, campaign, message_id_of=parts.identity.message_id)
        assert {row["last_reply"] for row in rows} == {
            "restored from a backup: it may have gone out since"
        }
    decide(parts.sessions, campaign_id, Decision.RESEND, now=parts.now, pause=lambda: None)
    with parts.sessions.begin() as session:
        resume_campaign(session, session.get_one(Campaign, campaign_id), now=parts.now())
    b.send_all(parts, transport)
    assert len(transport.accepted) == 8  # for it was said so
    first, second = transport.accepted[:4], transport.accepted[4:]
    assert message_ids(first) == message_ids(second)


def test_a_campaign_that_was_paused_or_scheduled_says_why_it_waits(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 1)
    with parts.sessions.begin() as session:
        session.execute(update(Campaign).values(state="scheduled", send_at=NOW))
    backup = marked(parts)
    restored(parts, backup)
    assert resumed(parts).campaigns == [campaign_id]
    tick(parts.sessions, now=parts.now)
    assert b.campaign_state(parts, campaign_id) == "paused"


def test_a_confirmation_from_the_backup_waits_and_one_asked_for_since_goes(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.sign_up(parts, session, b.newsletter(session), "before@readers.test", now=parts.now())
    backup = marked(parts)
    restored(parts, backup)
    with parts.sessions.begin() as session:
        weekly = session.scalars(select(Newsletter)).one()
        b.sign_up(parts, session, weekly, "since@readers.test", now=parts.now())
    resumed(parts)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert [envelope.recipient for envelope, _ in transport.accepted] == ["since@readers.test"]
    assert b.states(parts)["before@readers.test"] == "uncertain"


def test_a_digest_does_not_send_its_articles_again_by_itself(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        b.articles(session, made, 2)
        add_digest(
            session, made, slug="daily", purpose="updates", cron="* * * * *",
            renderer=parts.renderer, now=parts.now() - timedelta(hours=1),
        )  # fmt: skip
    backup = marked(parts)
    restored(parts, backup)
    assert resumed(parts).digests == ["weekly daily"]
    assert not tick(parts.sessions, now=parts.now).digests
    with parts.sessions.begin() as session:
        digest = session.scalars(select(Digest)).one()
        assert digest.last_outcome.startswith("restored from a backup")
        resume_digest(session, digest, now=parts.now())


def test_an_editors_old_mail_does_not_send_a_digest_again(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        b.articles(session, made, 2)
        key = parts.suppression_key
        digest = add_digest(
            session, made, slug="daily", purpose="updates", cron="* * * * *",
            approver=Approver.of(parse_address("boss@news.test"), key, timedelta(days=2)),
            renderer=parts.renderer, now=parts.now(),
        )  # fmt: skip
        run_digest(session, begin_run(digest), now=parts.now())
        campaign = session.scalars(select(Campaign)).one()
        assert campaign.approval
        until = int(campaign.approval.until.timestamp())
    link = parts.links.approval(1, campaign.id, until).rpartition("/")[2]
    backup = marked(parts)
    restored(parts, backup)

    def press() -> str:
        with parts.sessions.begin() as session:
            found = decide_by_mail(session, parts.signer, link, Verdict.APPROVED, now=parts.now())
            assert found
            return found.refused or found.approval.decision

    assert "restored" in press() or "backup" in press(), "nothing starts while it is halted"
    resumed(parts)
    assert press() == "stopped"
    assert b.campaign_state(parts, campaign.id) == "draft"


def test_without_a_halt_nothing_is_done(parts: Parts) -> None:
    b.sending_campaign(parts, 1)
    assert resumed(parts) == Resumed(reason=None)
    assert set(b.states(parts).values()) == {"queued"}


def test_a_second_time_changes_nothing(parts: Parts) -> None:
    backup = begun(parts, 2)
    with parts.sessions.begin() as session:
        withdraw(session, reader(session, 0), Evidence(Method.ONE_CLICK), now=NEXT_DAY)
    restored(parts, backup)
    resumed(parts)
    before = b.consents(parts)
    look_for_rollback(parts.sessions, parts.witness, now=parts.now())
    visit(parts.sessions, parts.witness, now=parts.now())
    assert resumed(parts).reason is None
    assert b.consents(parts) == before


def test_it_can_be_killed_between_any_two_steps(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    b.sending_campaign(parts, 4)
    backup = marked(parts)
    with parts.sessions.begin() as session:
        withdraw(session, reader(session, 0), Evidence(Method.ONE_CLICK), now=NEXT_DAY)
        suppress(session, reader(session, 1).address_hash, COMPLAINT, now=NEXT_DAY)
        erased = reader(session, 2)
        erase_again(
            session, erased.address_hash, erased.id, method="cli", at=NEXT_DAY, now=NEXT_DAY
        )
    restored(parts, backup)
    for steps in range(2):  # the journals are replayed; what is open is doubted
        with pytest.raises(Killed):
            resumed(parts, dies_after=steps)
        with parts.sessions() as session:
            assert halted_reason(session) is not None
    with monkeypatch.context() as patched:  # the halt is ended
        patched.setattr(WitnessFolder, "note", killed)
        with pytest.raises(Killed):
            resumed(parts)
    assert look_for_rollback(parts.sessions, parts.witness, now=parts.now()) is None
    visit(parts.sessions, parts.witness, now=parts.now())
    with parts.sessions() as session:
        assert halted_reason(session) is None
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 3
    assert b.consents(parts).count(("withdrawn", "one-click")) == 1
    assert "queued" not in b.states(parts).values()


def test_another_restoration_of_the_same_backup_forgets_nothing(parts: Parts) -> None:
    backup = begun(parts, 2)
    with parts.sessions.begin() as session:
        withdraw(session, reader(session, 0), Evidence(Method.ONE_CLICK), now=NEXT_DAY)
    restored(parts, backup)
    resumed(parts)
    with parts.sessions.begin() as session:
        withdraw(session, reader(session, 1), Evidence(Method.ONE_CLICK), now=NEXT_DAY)
    restored(parts, backup)
    assert resumed(parts).withdrawn == 2


def test_a_folder_of_another_database_is_not_replayed(parts: Parts) -> None:
    begun(parts, 1)
    with parts.sessions.begin() as session:
        session.execute(update(Installation).values(created_at=NOW))
    visit(parts.sessions, parts.witness, now=parts.now())
    with pytest.raises(WrongFolder, match=r"MAILER_WITNESS_DIR of its own\. Then"):
        resumed(parts)


def test_lines_that_cannot_be_read_are_counted(parts: Parts) -> None:
    backup = begun(parts, 1)
    with parts.sessions.begin() as session:
        withdraw(session, reader(session, 0), Evidence(Method.ONE_CLICK), now=NEXT_DAY)
    restored(parts, backup)
    with (parts.witness.path / "withdrawals.jsonl").open("ab") as file:
        file.write(b'{"beat": 99, "at": "never"}\n{"be')
    done = resumed(parts)
    assert (done.withdrawn, done.unreadable) == (1, 2)


@pytest.mark.parametrize(
    ("journal", "changed"),
    [
        ("withdrawals", {"state": "given", "method": "form"}),
        ("withdrawals", {"state": "requested", "method": "form"}),
        ("withdrawals", {"at": "2026-11-25T09:00:00"}),
        ("withdrawals", {"beat": float("inf")}),
        ("erasures", {"reader": 2**70}),
    ],
)
def test_a_line_that_is_none_of_ours_brings_nobody_back_and_stops_nothing(
    parts: Parts, journal: str, changed: dict[str, Any]
) -> None:
    backup = begun(parts, 1)
    with parts.sessions.begin() as session:
        withdraw(session, reader(session, 0), Evidence(Method.ONE_CLICK), now=NEXT_DAY)
        hashed = reader(session, 0).address_hash
    restored(parts, backup)
    line = {
        "at": "9999-01-01T00:00:00.000Z", "address_hash": hashed, "beat": 99, "event_id": "0" * 32,
        "newsletter": "weekly", "purpose": "updates", "state": "withdrawn", "method": "one-click",
        "reader": 1, **changed,
    }  # fmt: skip
    with (parts.witness.path / f"{journal}.jsonl").open("a") as file:
        file.write(json.dumps(line).replace("Infinity", "1e999") + "\n" + "[" * 100_000 + "\n")
    done = resumed(parts)
    assert (done.withdrawn, done.erased, done.unreadable) == (1, 0, 2)
    assert b.subscriptions(parts) == {"updates": "left"}


class Killed(Exception):
    """Stands for the death of the process."""


def killed(*_: object) -> None:
    """Die here."""
    raise Killed


def begun(parts: Parts, number: int) -> Backup:
    """Make a newsletter with readers, and a backup of it that the witness knows of."""
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), number)
    return marked(parts)


def marked(parts: Parts) -> Backup:
    """Return a backup that the witness has seen later states of."""
    visit(parts.sessions, parts.witness, now=parts.now())
    backup = Backup(parts)
    visit(parts.sessions, parts.witness, now=parts.now())
    return backup


def restored(parts: Parts, backup: Backup) -> None:
    """Let the journals be written, put the backup back, and start a process."""
    visit(parts.sessions, parts.witness, now=parts.now())
    backup.put_back()
    reason = look_for_rollback(parts.sessions, parts.witness, now=parts.now())
    assert reason is not None


def resumed(parts: Parts, dies_after: int | None = None) -> Resumed:
    """Say that this database is to be gone on with."""
    steps = iter(range(1_000))

    def pause() -> None:
        if dies_after is not None and next(steps) == dies_after:
            raise Killed

    return resume(
        parts.sessions, parts.witness, erase_again=erase_again, operator="amina@desk",
        now=parts.now, pause=pause,
    )  # fmt: skip


def reader(session: Session, number: int) -> Subscriber:
    """Return the reader with this number in the address."""
    email = f"reader{number}@readers.test"
    return session.scalars(select(Subscriber).where(Subscriber.email == email)).one()


def message_ids(mails: list[Any]) -> set[bytes]:
    """Return the Message-IDs."""
    return {content.split(b"Message-ID: ")[1].split(b"\r\n")[0] for _, content in mails}
