"""What has been kept for long enough goes, kind by kind; everything else stays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import building as b
import pytest
from sqlalchemy import event, func, insert, select, update

from mailer.domain.consent import ConsentState, Method
from mailer.domain.deliveries import DeliveryKind
from mailer.domain.retention import Kind, Periods, read_periods
from mailer.services.consent.adding import AddOutcome, add_reader
from mailer.services.consent.expiring import expire_requests
from mailer.services.consent.preferences import withdraw
from mailer.services.privacy import retention
from mailer.services.privacy.old_files import Folders
from mailer.services.privacy.retention import Job, retain, retain_daily, what_is_due
from mailer.store.actions import note_action
from mailer.store.consents import Evidence, record
from mailer.store.ledger import queue_mail
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    Feedback,
    Newsletter,
    OperatorAction,
    Subscriber,
    Subscription,
    attempt,
    delivery,
)
from mailer.store.readers import lock_reader
from mailer.store.suppressions import standing
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

NEVER = {f"MAILER_RETENTION_{kind.upper()}": "never" for kind in Kind}
LATER = b.NOW + timedelta(days=500)


def only(kind: Kind, days: int = 30) -> Periods:
    """Return periods that keep everything but one kind for ever."""
    return read_periods({**NEVER, f"MAILER_RETENTION_{kind.upper()}": str(days)})


def job(parts: Parts, now: datetime = LATER, pause: Callable[[], None] = lambda: None) -> Job:
    """Return the job at a moment."""
    folders = Folders(parts.settings.home, parts.settings.inbox_dir)
    return Job(parts.sessions, folders, lambda: now, pause, parts.settings.migration_url)


def number(parts: Parts, kind: Kind, now: datetime = LATER) -> int:
    """Count, delete, delete again; return how many went."""
    [due] = [each for each in what_is_due(job(parts, now), only(kind)) if each.kind is kind]
    [gone] = [each for each in retain(job(parts, now), only(kind)) if each.kind is kind]
    assert gone.number == due.number, "the dry run says what goes"
    assert gone.before == now - timedelta(days=30)
    assert sum(each.number for each in retain(job(parts, now), only(kind))) == 0
    return gone.number


def sign_up(parts: Parts, address: str, now: datetime = b.NOW, *purposes: str) -> None:
    """Fill in the form."""
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        b.sign_up(parts, session, made, address, purposes or ("updates",), now=now)


def say(
    parts: Parts, reader_id: int, state: ConsentState, at: datetime, purpose: str = "updates"
) -> None:
    """Record what a reader says."""
    with parts.sessions.begin() as session:
        reader = lock_reader(session, reader_id)
        assert reader
        [wanted] = [
            each for each in session.scalars(select(b.Newsletter)).one().purposes
            if each.slug == purpose
        ]  # fmt: skip
        method = Method.CONFIRM if state is ConsentState.GIVEN else Method.PREFERENCES
        record(session, reader, wanted, state, Evidence(method, ip="198.51.100.9"), now=at)


def run_out(parts: Parts, at: datetime) -> None:
    """End what nobody confirmed."""
    with parts.sessions.begin() as session:
        expire_requests(session, now=at)


@pytest.fixture
def house(parts: Parts) -> Parts:
    """An installation with a newsletter."""
    with parts.sessions.begin() as session:
        b.newsletter(session)
    return parts


def evidence_of(parts: Parts) -> list[tuple[str, bool]]:
    """Return every event's state, and whether its evidence is there."""
    with parts.sessions() as session:
        rows = session.execute(
            select(ConsentEvent.state, ConsentEvidence.event)
            .outerjoin(ConsentEvidence, ConsentEvidence.event == ConsentEvent.id)
            .order_by(ConsentEvent.id)
        )
        return [(row.state, row.event is not None) for row in rows]


def test_a_request_that_nobody_confirmed_loses_its_evidence_and_keeps_its_leaf(
    house: Parts,
) -> None:
    sign_up(house, "ada@readers.test")
    ended = b.NOW + timedelta(days=8)
    run_out(house, ended)
    assert number(house, Kind.REQUESTS, ended + timedelta(days=29)) == 0
    assert number(house, Kind.REQUESTS, ended + timedelta(days=31)) == 2
    assert evidence_of(house) == [("requested", False), ("expired", False)]
    with house.sessions() as session:
        assert session.scalars(select(Subscription.details)).all() == [{}]
        assert all(session.scalars(select(ConsentEvent.leaf_hash)))


def test_the_evidence_of_what_was_confirmed_stays_and_of_what_may_still_be(house: Parts) -> None:
    sign_up(house, "ada@readers.test")
    say(house, 1, ConsentState.GIVEN, b.NOW)
    say(house, 1, ConsentState.WITHDRAWN, b.NOW + timedelta(days=1))
    sign_up(house, "ben@readers.test")
    assert number(house, Kind.REQUESTS) == 0
    assert evidence_of(house) == [
        ("requested", True), ("given", True), ("withdrawn", True), ("requested", True),
    ]  # fmt: skip


def test_a_readers_consent_keeps_its_evidence_when_another_request_of_theirs_runs_out(
    house: Parts,
) -> None:
    sign_up(house, "ada@readers.test", b.NOW, "updates", "partner-promotions")
    say(house, 1, ConsentState.GIVEN, b.NOW)
    run_out(house, b.NOW + timedelta(days=8))
    assert number(house, Kind.REQUESTS) == 2
    assert evidence_of(house) == [
        ("requested", True), ("requested", False), ("given", True), ("expired", False),
    ]  # fmt: skip


def test_a_request_that_ran_out_before_another_was_confirmed_is_no_evidence(house: Parts) -> None:
    sign_up(house, "ada@readers.test")
    run_out(house, b.NOW + timedelta(days=8))
    sign_up(house, "ada@readers.test", b.NOW + timedelta(days=9))
    say(house, 1, ConsentState.GIVEN, b.NOW + timedelta(days=9))
    assert number(house, Kind.REQUESTS) == 2
    assert evidence_of(house) == [
        ("requested", False), ("expired", False), ("requested", True), ("given", True),
    ]  # fmt: skip


def test_the_walk_over_the_events_finds_the_same_piece_by_piece(
    house: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(5):
        sign_up(house, f"reader{index}@readers.test")
    run_out(house, b.NOW + timedelta(days=8))
    monkeypatch.setattr(retention, "_WALK", 2)
    assert number(house, Kind.REQUESTS) == 10


def test_who_never_confirmed_is_forgotten_and_may_come_by_any_way_later(house: Parts) -> None:
    sign_up(house, "ada@readers.test")
    ended = b.NOW + timedelta(days=8)
    run_out(house, ended)
    assert number(house, Kind.UNCONFIRMED, ended + timedelta(days=29)) == 0
    assert number(house, Kind.UNCONFIRMED, ended + timedelta(days=31)) == 1
    with house.sessions.begin() as session:
        assert session.scalars(select(Subscriber)).all() == []
        made = session.scalars(select(Newsletter)).one()
        outcome = add_reader(
            session, made, b.parse_address("ada@readers.test"), purposes=["updates"],
            details=b.ReaderDetails(), attributes={}, evidence=Evidence(Method.CLI, source="paper"),
            renderer=house.renderer, confirm=False, suppression_key=house.suppression_key,
            now=LATER,
        )  # fmt: skip
        assert outcome is AddOutcome.ADDED
        hashed = session.scalars(select(Subscriber.address_hash)).one()
        assert standing(session, hashed) == []
    assert evidence_of(house) == [("requested", False), ("expired", False), ("given", True)]


@pytest.mark.parametrize("said", [ConsentState.GIVEN, ConsentState.WITHDRAWN, ConsentState.REFUSED])
def test_whoever_said_anything_of_their_own_is_no_unconfirmed_reader(
    house: Parts, said: ConsentState
) -> None:
    sign_up(house, "ada@readers.test")
    say(house, 1, said, b.NOW)
    assert number(house, Kind.UNCONFIRMED) == 0


def test_who_asked_anew_is_kept(house: Parts) -> None:
    sign_up(house, "ada@readers.test")
    run_out(house, b.NOW + timedelta(days=8))
    sign_up(house, "ada@readers.test", LATER - timedelta(days=1))
    assert number(house, Kind.UNCONFIRMED) == 0


def test_who_left_long_ago_goes_only_where_it_is_wanted_and_no_import_brings_them_back(
    house: Parts,
) -> None:
    with house.sessions.begin() as session:
        b.readers(house, session, session.scalars(select(Newsletter)).one(), 2)
        reader = lock_reader(session, 1)
        assert reader
        withdraw(session, reader, Evidence(Method.ONE_CLICK), now=b.NOW)
    assert {each.kind: each.before for each in what_is_due(job(house), read_periods({}))}[
        Kind.LEFT
    ] is None
    assert number(house, Kind.LEFT) == 1
    with house.sessions.begin() as session:
        assert session.scalars(select(Subscriber.email)).all() == ["reader1@readers.test"]
        outcome = add_reader(
            session, session.scalars(select(Newsletter)).one(),
            b.parse_address("reader0@readers.test"), purposes=["updates"],
            details=b.ReaderDetails(), attributes={}, evidence=Evidence(Method.CLI, source="old"),
            renderer=house.renderer, confirm=False, suppression_key=house.suppression_key,
            now=LATER,
        )  # fmt: skip
        assert outcome is not AddOutcome.ADDED
    sign_up(house, "reader0@readers.test", house.now())
    transport = MemoryTransport()
    b.send_all(house, transport)
    assert len(transport.accepted) == 1, "their own sign-up is a new beginning"


def test_attempts_go_but_not_those_by_which_an_uncertain_mail_is_found(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 3)
    with parts.sessions.begin() as session:
        mails = session.execute(select(delivery.c.period, delivery.c.id)).all()
        old = {"fence": 1, "at": b.NOW, "relay": "x", "stage": "dot", "reply": "hm"}
        for (period, mail), outcome in zip(mails, ("sent", "uncertain", "uncertain"), strict=True):
            row = {"period": period, "delivery_id": mail, "outcome": outcome}
            session.execute(insert(attempt).values({**old, **row}))
        session.execute(
            update(delivery)
            .where(delivery.c.id == mails[1].id)
            .values(state="uncertain", settled_at=b.NOW)
        )
        session.execute(
            insert(attempt).values(
                {**old, "period": mails[0].period, "delivery_id": mails[0].id, "fence": 2,
                 "at": LATER - timedelta(days=29), "outcome": "sent"}
            )
        )  # fmt: skip
        session.execute(update(attempt).values(period=202611))
        session.execute(update(delivery).values(period=202611))
    assert campaign_id
    assert number(parts, Kind.ATTEMPTS) == 2
    with parts.sessions() as session:
        left = session.execute(select(attempt.c.delivery_id, attempt.c.fence)).all()
        assert {tuple(row) for row in left} == {(mails[0].id, 2), (mails[1].id, 1)}


def test_the_walk_over_the_attempts_goes_through_all_of_them(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with parts.sessions.begin() as session:
        rows = [
            {"period": period, "delivery_id": mail, "fence": 1, "at": b.NOW, "relay": "x",
             "outcome": "sent", "stage": "dot", "reply": "ok"}
            for period in (202610, 202611)
            for mail in range(1, 8)
        ]  # fmt: skip
        session.execute(insert(attempt), rows)
    monkeypatch.setattr(retention, "BATCH", 3)
    assert number(parts, Kind.ATTEMPTS) == 14


def test_tests_forget_whom_they_went_to(house: Parts) -> None:
    with house.sessions.begin() as session:
        for at, settled in ((b.NOW, b.NOW), (LATER, LATER), (b.NOW, None)):
            mail = queue_mail(
                session, kind=DeliveryKind.TEST, newsletter_id=1, variant_id=1, provider="x",
                now=at, expires_at=LATER, recipient="chief@desk.test", recipient_hash="h",
            )  # fmt: skip
            session.execute(
                update(delivery)
                .where(delivery.c.id == mail)
                .values(settled_at=settled, last_reply="no such chief")
            )
    assert number(house, Kind.TESTS) == 1
    with house.sessions() as session:
        rows = session.execute(
            select(delivery.c.recipient, delivery.c.last_reply).order_by(delivery.c.id)
        ).all()
    assert [tuple(row) for row in rows] == [
        (None, None), ("chief@desk.test", "no such chief"), ("chief@desk.test", "no such chief"),
    ]  # fmt: skip


def test_feedback_and_the_audit_trail_go_with_time(
    house: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    with house.sessions.begin() as session:
        for at in (b.NOW, b.NOW, b.NOW, LATER):
            session.execute(
                insert(Feedback).values(
                    kind="bounce", source="dsn", status="5.1.1", detail="", received_at=at
                )
            )
            note_action(session, "chidi@desk", "subscriber edit", now=at)
    assert number(house, Kind.FEEDBACK) == 3
    assert number(house, Kind.ACTIONS) == 3
    with house.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Feedback)) == 1
        assert session.scalar(select(func.count()).select_from(OperatorAction)) == 1


def test_a_run_that_dies_in_the_middle_has_done_a_part_and_the_next_does_the_rest(
    house: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    with house.sessions.begin() as session:
        for _ in range(5):
            note_action(session, "chidi@desk", "subscriber edit", now=b.NOW)

    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retain(job(house, pause=die), only(Kind.ACTIONS))
    assert number(house, Kind.ACTIONS) == 3


def test_the_daily_run_is_done_once_a_day_by_whoever_comes_first(house: Parts) -> None:
    with house.sessions.begin() as session:
        note_action(session, "chidi@desk", "subscriber edit", now=b.NOW)
    periods = only(Kind.ACTIONS)
    first = retain_daily(job(house), periods)
    assert first
    assert sum(each.number for each in first) == 1
    assert retain_daily(job(house), periods) is None
    assert retain_daily(job(house, LATER + timedelta(hours=22)), periods) is None
    assert retain_daily(job(house, LATER + timedelta(hours=24)), periods) is not None


def test_a_kind_that_fails_stops_no_other(house: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.sessions.begin() as session:
        note_action(session, "chidi@desk", "subscriber edit", now=b.NOW)

    def fail(*_: object) -> int:
        raise OSError("disk")

    monkeypatch.setitem(retention._REMOVE, Kind.REQUESTS, fail)
    outcomes = retain_daily(job(house), read_periods({}))
    assert outcomes
    assert Kind.REQUESTS not in {each.kind for each in outcomes}
    assert Kind.INBOX in {each.kind for each in outcomes}


def _put(path: Path, content: str, at: datetime) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def test_old_files_go_and_nothing_that_is_not_ours(sqlite_parts: Parts) -> None:
    home, now = sqlite_parts.settings.home, b.NOW
    old, young = now - timedelta(days=31), now - timedelta(days=29)
    name = "{:020d}-ab.eml"
    kept = [
        _put(home / "inbox" / name.format(int(young.timestamp() * 1e9)), "mail", young),
        _put(home / "inbox" / "note.txt", "mine", old),
        _put(home / "lists" / "readers.csv", "email\nada@x.test\n", old),
        _put(home / "lists" / "rejects.csv", "line,reason,email\n", young),
        _put(home / "logs" / f"web.log.{young:%Y-%m-%d}", "x", young),
        _put(home / "logs" / "web.log.keep", "x", old),
        _put(home / "lists" / ".mine.part", "ada@x.test", old),
        _put(home / "lists" / ".young.csv.77.mailer-part", "ada@x.test", young),
    ]
    gone = {
        Kind.INBOX: _put(home / "inbox" / name.format(int(old.timestamp() * 1e9)), "mail", old),
        Kind.REJECTS: _put(home / "lists" / "a.rejects.csv.part", "line,reason,email\n", old),
        Kind.LOGS: _put(home / "logs" / f"web.log.{old:%Y-%m-%d}", "x", old),
        Kind.PARTS: _put(home / "out" / ".readers.csv.4711.mailer-part", "ada@x.test", old),
    }
    finished = _put(home / "lists" / "a.rejects.csv", "line,reason,email\n", old)
    for kind, path in gone.items():
        assert number(sqlite_parts, kind, now) == (2 if kind is Kind.REJECTS else 1)
        assert not path.exists()
    assert not finished.exists()
    assert [path for path in kept if not path.exists()] == []


def test_logs_are_put_aside_once_a_day_while_their_process_writes_on(sqlite_parts: Parts) -> None:
    log = _put(sqlite_parts.settings.home / "logs" / "web.log", "", b.NOW)
    aside = log.with_name(f"web.log.{b.NOW:%Y-%m-%d}")
    with log.open("a") as writer:
        for words in ("one\n", "two\n", "three\n"):
            writer.write(words)
            writer.flush()
            retain(job(sqlite_parts, b.NOW), only(Kind.LOGS))
    assert aside.read_text() == "one\n"
    assert log.read_text() == "two\nthree\n"
    assert aside.stat().st_mode & 0o777 == 0o600


def test_deleting_much_holds_up_nobody_for_long(sqlite_parts: Parts) -> None:
    with sqlite_parts.sessions.begin() as session:
        rows = [
            {"period": 202611, "delivery_id": mail, "fence": 1, "at": b.NOW, "relay": "relay",
             "outcome": "sent", "stage": "dot", "reply": "250 2.0.0 queued as 4XyZ"}
            for mail in range(1, 20_001)
        ]  # fmt: skip
        session.execute(insert(attempt), rows)
    begun, longest = [time.monotonic()], [0.0]

    def pause() -> None:
        longest[0] = max(longest[0], time.monotonic() - begun[0])
        begun[0] = time.monotonic()

    [done] = [
        each for each in retain(job(sqlite_parts, pause=pause), only(Kind.ATTEMPTS)) if each.number
    ]
    assert done.number == 20_000
    # 10 ms on a machine of its own; a machine that is busy gets more
    assert longest[0] < 1


def test_on_a_slow_machine_few_readers_are_forgotten_at_once(house: Parts) -> None:
    for reader in range(9):
        sign_up(house, f"reader{reader}@readers.test")
    run_out(house, b.NOW + timedelta(days=8))
    at_once = [0]

    def slow(*args: Any) -> None:
        if args[2].startswith("DELETE FROM subscriber "):
            at_once[-1] += 1
            time.sleep(0.02)

    event.listen(house.engine, "after_cursor_execute", slow)
    event.listen(house.engine, "commit", lambda _: at_once.append(0))
    assert number(house, Kind.UNCONFIRMED) == 9
    assert (sum(at_once), max(at_once)) == (9, 2)
