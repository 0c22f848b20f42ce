"""Ending what has been kept for long enough: every kind of data has a period of its own.

`what_is_due` looks and counts; `retain` deletes, in batches with pauses, so that nobody who writes
waits for long. Every batch is a transaction that leaves things right: whoever is killed in the
middle has done a part, and the next run finds the rest. Doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from mailer.domain.consent import Method
from mailer.domain.errors import Refusal
from mailer.domain.retention import Kind, Period, Periods
from mailer.domain.suppression import SuppressionReason
from mailer.services.privacy.old_files import (
    Folders,
    delete_old_files,
    find_old_files,
    turn_logs_over,
)
from mailer.store.batches import Batches
from mailer.store.engine import Sessions, open_engine, open_sessions, reading
from mailer.store.erasures import (
    delete_reader,
    note_erasure,
    strip_deliveries_of,
)
from mailer.store.halting import halted_reason
from mailer.store.ledger import (
    BEGIN_OF_ATTEMPTS,
    Place,
    count_attempts,
    count_test_addresses,
    delete_attempts,
    forget_test_addresses,
)
from mailer.store.models import Subscriber
from mailer.store.retention import (
    Fruitless,
    count_actions,
    count_feedback,
    count_images,
    count_left,
    count_unconfirmed,
    delete_actions,
    delete_feedback,
    delete_images,
    delete_request_evidence,
    find_left,
    find_unconfirmed,
    is_due,
    lock_left,
    lock_unconfirmed,
    mark_cleaned,
    take_turn,
    walk_requests,
)
from mailer.store.suppressions import suppress
from mailer.store.vault import Vault

_log = structlog.get_logger()
T = TypeVar("T")

BATCH = 500
"""Rows per transaction: well under 50 ms on SQLite, so that others get their turn. Where each takes
several rows along, it is as many as fit into that on this machine."""

_LARGE = 25
"""An image counts as so many rows: what SQLite deletes, it overwrites."""

_WALK = 10_000
_EVERY = timedelta(hours=23)
"""Once a day, even if the day's first look comes a little earlier than yesterday's."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many of a kind are, or were, older than `before`; None: they are kept for ever."""

    period: Period
    before: datetime | None
    number: int

    @property
    def kind(self) -> Kind:
        """Of which data."""
        return self.period.rule.kind


@dataclass(frozen=True, slots=True)
class Job:
    """What the steps need."""

    sessions: Sessions
    folders: Folders
    now: Callable[[], datetime]
    pause: Callable[[], None]
    owner_url: str
    """Of the database, for its tables' owner: the service may not take lines from the trail."""


class NotTheOwner(Refusal):
    """What is old may be deleted by the owner of the tables alone."""


def what_is_due(job: Job, periods: Periods) -> list[Outcome]:
    """Count what a run would delete; changes nothing and holds up nobody."""
    return [_outcome(job, period, partial(_count, job, kind)) for kind, period in periods.items()]


def retain(job: Job, periods: Periods) -> list[Outcome]:
    """Delete what has been kept for long enough; return how many of which kind."""
    return [_outcome(job, period, partial(_REMOVE[kind], job)) for kind, period in periods.items()]


def retain_now(job: Job, periods: Periods) -> list[Outcome]:
    """Do it at an operator's word, whenever it was done last."""
    with job.sessions.begin() as session:
        take_turn(session, last_before=job.now(), now=job.now())
    return retain(job, periods)


def retain_daily(job: Job, periods: Periods) -> list[Outcome] | None:
    """Do it unless it has been begun within a day; a kind that fails stops no other.

    Of an old backup nothing is deleted before somebody has said what becomes of it.
    """
    with reading(job.sessions) as session:
        if halted_reason(session) or not is_due(session, last_before=job.now() - _EVERY):
            return None
    with job.sessions.begin() as session:
        if not take_turn(session, last_before=job.now() - _EVERY, now=job.now()):
            return None
    outcomes = []
    for kind, period in periods.items():
        try:
            outcomes += retain(job, {kind: period})
        except Refusal as refusal:
            _log.warning("retention is not done", kind=kind.value, reason=str(refusal))
        except Exception:
            _log.exception("retention failed", kind=kind.value)
    done = {each.kind.value: each.number for each in outcomes if each.number}
    if done:
        _log.info("retention", **done)
    return outcomes


def _outcome(job: Job, period: Period, number: Callable[[datetime], int]) -> Outcome:
    before = period.before(job.now())
    return Outcome(period, before, number(before) if before else 0)


def _count(job: Job, kind: Kind, before: datetime) -> int:
    if kind in (Kind.LOGS, Kind.INBOX, Kind.REJECTS, Kind.PARTS):
        return sum(1 for _ in find_old_files(job.folders, kind, before))
    if kind is Kind.REQUESTS:
        events = {each for piece in _walk(job, before) for found in piece for each in found[:2]}
        return len(events - {None})
    with reading(job.sessions) as session:
        return _COUNT[kind](session, before)


def _walk(job: Job, before: datetime) -> Iterator[Sequence[Fruitless]]:
    """Yield what has to go, piece by piece; each is looked for in a session that only reads."""
    after: int | None = 0
    while after is not None:
        with reading(job.sessions) as session:
            walked = walk_requests(session, before, after=after, limit=_WALK)
        after = walked.last
        if walked.found:
            yield walked.found


def _remove_requests(job: Job, before: datetime) -> int:
    removed = 0
    batches = Batches(50, least=10, most=BATCH)
    for piece in _walk(job, before):
        for some in _taken(piece, batches):
            with batches.transaction(job.sessions) as session:
                removed += delete_request_evidence(session, some)
            job.pause()
    return removed


def _taken(rows: Sequence[T], batches: Batches) -> Iterator[Sequence[T]]:
    """Yield the rows in order, each time as many as the batches say then."""
    begin = 0
    while some := rows[begin : begin + batches.size]:
        yield some
        begin += len(some)


def _remove_attempts(job: Job, before: datetime) -> int:
    removed = 0
    place: Place | None = BEGIN_OF_ATTEMPTS
    while place is not None:
        with job.sessions.begin() as session:
            gone, place = delete_attempts(session, before, after=place, limit=BATCH)
        removed += gone
        job.pause()
    return removed


def _in_batches(remove: Callable[..., int], share: int = 1) -> Callable[[Job, datetime], int]:
    """Return what deletes to the end, a batch in a transaction, or a `share` of one."""

    def to_the_end(job: Job, before: datetime) -> int:
        removed = 0
        batch = max(1, BATCH // share)
        while True:
            with job.sessions.begin() as session:
                gone = remove(session, before, limit=batch)
            removed += gone
            if gone < batch:
                return removed
            job.pause()

    return to_the_end


def _remove_readers(
    find: Callable[..., Sequence[int]],
    lock: Callable[[Session, Sequence[int], datetime], list[Subscriber]],
    *,
    suppressed: bool,
) -> Callable[[Job, datetime], int]:
    """Return what forgets readers, a few in a transaction."""

    def to_the_end(job: Job, before: datetime) -> int:
        removed, after = 0, 0
        # Whoever is forgotten is locked until the end of the transaction, and may press a button.
        batches = Batches(2, least=1, most=20)
        while True:
            with reading(job.sessions) as session:
                found = find(session, before, after=after, limit=BATCH)
            if not found:
                return removed
            for some in _taken(found, batches):
                with batches.transaction(job.sessions) as session:
                    for reader in lock(session, some, before):
                        _forget(session, reader, suppressed, job.now())
                        removed += 1
                job.pause()
            after = found[-1]

    return to_the_end


def _remove_actions(job: Job, before: datetime) -> int:
    """Take old lines from the audit trail, as the owner of its table."""
    engine = open_engine(job.owner_url)
    try:
        owners = open_sessions(engine, Vault(()))
        return _in_batches(delete_actions)(replace(job, sessions=owners), before)
    except ProgrammingError as error:
        if "permission denied" not in str(error.orig):
            raise
        raise NotTheOwner(
            "Old lines of the audit trail are left: only the owner of the tables may delete them. "
            "Run `mailer privacy retention` where MAILER_MIGRATION_URL names that role."
        ) from None
    finally:
        engine.dispose()


def _forget(session: Session, reader: Subscriber, suppressed: bool, now: datetime) -> None:
    """Forget the reader (locked).

    Nobody has asked for it, so that what else there is of them may end by its own period; and who
    never agreed to anything has not left: they may be written to as soon as they agree.
    """
    reader_id, hashed = reader.id, reader.address_hash
    strip_deliveries_of(session, reader_id)
    if suppressed:
        suppress(session, hashed, SuppressionReason.ERASURE, now=now)
    delete_reader(session, reader)
    note_erasure(session, reader_id, hashed, Method.EXPIRY.value, at=now)
    mark_cleaned(session, reader_id, now)


def _remove_files(kind: Kind) -> Callable[[Job, datetime], int]:
    def remove(job: Job, before: datetime) -> int:
        if kind is Kind.LOGS:
            turn_logs_over(job.folders.logs, job.now())
        return delete_old_files(job.folders, kind, before)

    return remove


_COUNT: dict[Kind, Callable[[Session, datetime], int]] = {
    Kind.UNCONFIRMED: count_unconfirmed,
    Kind.LEFT: count_left,
    Kind.ATTEMPTS: count_attempts,
    Kind.FEEDBACK: count_feedback,
    Kind.TESTS: count_test_addresses,
    Kind.ACTIONS: count_actions,
    Kind.IMAGES: count_images,
}

_REMOVE: dict[Kind, Callable[[Job, datetime], int]] = {
    Kind.REQUESTS: _remove_requests,
    Kind.UNCONFIRMED: _remove_readers(find_unconfirmed, lock_unconfirmed, suppressed=False),
    Kind.LEFT: _remove_readers(find_left, lock_left, suppressed=True),
    Kind.ATTEMPTS: _remove_attempts,
    Kind.FEEDBACK: _in_batches(delete_feedback),
    Kind.TESTS: _in_batches(forget_test_addresses),
    Kind.ACTIONS: _remove_actions,
    Kind.IMAGES: _in_batches(delete_images, _LARGE),
    Kind.LOGS: _remove_files(Kind.LOGS),
    Kind.INBOX: _remove_files(Kind.INBOX),
    Kind.REJECTS: _remove_files(Kind.REJECTS),
    Kind.PARTS: _remove_files(Kind.PARTS),
}
