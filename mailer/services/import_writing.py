"""Writing prepared readers: in transactions so short that nobody waits, each of them whole.

A transaction holds its readers, their events, what follows for those who are known, and how far the
import has come. So it may end at any moment, and goes on where it ended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from itertools import count
from typing import Any, NamedTuple

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from mailer.domain.addresses import parse_address
from mailer.domain.consent import Method, SubscriptionState
from mailer.domain.importing import (
    SUPPRESSES,
    Decision,
    ListRow,
    Outcome,
    Standing,
    decide,
)
from mailer.services.adding import AddOutcome, add_reader
from mailer.services.import_rows import milliseconds, moment_of
from mailer.services.import_tally import Tally
from mailer.services.renderer import Renderer
from mailer.store.consents import Evidence, record
from mailer.store.engine import Sessions
from mailer.store.importing.ground import Ground, Known, look_up, suppressed_of
from mailer.store.importing.prepare import Prepared, Preparer, Said
from mailer.store.importing.runs import advance
from mailer.store.importing.write import (
    TakenMeanwhile,
    insert_events,
    insert_new,
    insert_subscriptions,
    reserve_events,
)
from mailer.store.journal import Withdrawn, tell
from mailer.store.models import Newsletter, Purpose
from mailer.store.readers import ReaderDetails
from mailer.store.suppressions import suppress

_TRIES = 20
_AGAIN = frozenset({"40P01", "40001"})  # PostgreSQL: a deadlock, a serialisation failure
_SMALLEST, _LARGEST = 200.0, 4_000.0  # costs that a transaction has room for


class _Way(Enum):
    """How a reader is written."""

    NEW = auto()
    KNOWN = auto()
    ONE_BY_ONE = auto()
    NOTHING = auto()


_COSTS = {_Way.NEW: 1.0, _Way.KNOWN: 4.0, _Way.ONE_BY_ONE: 60.0, _Way.NOTHING: 0.3}


@dataclass(frozen=True, slots=True)
class Desk:
    """What is needed to write, and to ask readers one by one."""

    renderer: Renderer
    suppression_key: bytes
    now: Callable[[], datetime]


class Pace(NamedTuple):
    """How long a transaction should take, and what is done after each."""

    seconds: float
    pause: Callable[[], None]


class _Step(NamedTuple):
    """One reader in a transaction: what is known of them, and what is to be done."""

    prepared: Prepared
    known: Known | None
    decision: Decision
    way: _Way

    @property
    def row(self) -> ListRow:
        """The row that counts."""
        return self.prepared.reader.row


class ImportWriter:
    """Writes readers in the order in which they come, and counts what became of them."""

    def __init__(
        self,
        sessions: Sessions,
        preparer: Preparer,
        desk: Desk,
        pace: Pace,
        *,
        run_id: int,
        done: int,
        tally: Tally,
    ) -> None:
        self._sessions = sessions
        self._preparer = preparer
        self._terms = preparer.terms
        self._purpose_ids = [purpose_id for purpose_id, _ in preparer.terms.purposes]
        self._desk = desk
        self._pace = pace
        self._run_id = run_id
        self._room = 4 * _SMALLEST
        self._of_newcomers: dict[tuple[str, bool], tuple[Decision, _Way]] = {}
        self.done = done
        self.tally = tally

    def write(self, prepared: Sequence[Prepared], wrote: Callable[[int], object]) -> None:
        """Write all of them; `wrote` is told after every transaction how many rows are done."""
        begin = 0
        while begin < len(prepared):
            began = time.monotonic()
            begin += self._transaction(prepared[begin : begin + int(_LARGEST)])
            took = time.monotonic() - began
            room = self._room * min(max(self._pace.seconds / took, 0.5), 1.3)
            self._room = min(max(room, _SMALLEST), _LARGEST)
            wrote(self.done)
            self._pace.pause()

    def _transaction(self, prepared: Sequence[Prepared]) -> int:
        """Write as many of them as one transaction has room for; return how many."""
        for tried in count(1):
            try:
                with self._sessions.begin() as session:
                    steps, tally = self._write(session, prepared)
            except (TakenMeanwhile, DBAPIError) as error:
                if tried == _TRIES or not _passes(error):
                    raise
            else:
                break
        self.tally, self.done = tally, self.done + _rows(steps)
        return len(steps)

    def _write(self, session: Session, prepared: Sequence[Prepared]) -> tuple[list[_Step], Tally]:
        now = self._desk.now()
        steps = self._decided(session, prepared)
        self._insert_new(session, [step for step in steps if step.way is _Way.NEW])
        known = [step for step in steps if step.way is _Way.KNOWN]
        self._record_known(session, known, now)
        tally = self.tally.copy()
        for step in steps:
            outcome = step.decision.outcome
            if step.way is _Way.ONE_BY_ONE:
                outcome = self._record_one(session, step, now)
            tally.count(step.prepared.reader, outcome)
        now_done = self.done + _rows(steps)
        advance(session, self._run_id, done=self.done, now_done=now_done, counts=tally.counts)
        return steps, tally

    def _decided(self, session: Session, prepared: Sequence[Prepared]) -> list[_Step]:
        """Look who is known, and decide about as many readers as there is room for."""
        looked = prepared[: int(self._room)]
        hashes = [each.reader.row.hashed for each in looked]
        ground = look_up(session, hashes, self._terms.newsletter, self._purpose_ids, lock=True)
        steps: list[_Step] = []
        cost = 0.0
        for each in looked:
            step = self._decide(each, ground)
            cost += _COSTS[step.way]
            if steps and cost > self._room:
                break
            steps.append(step)
        return steps

    def _decide(self, prepared: Prepared, ground: Ground) -> _Step:
        row = prepared.reader.row
        known = ground.known.get(row.hashed)
        suppressed = row.hashed in ground.suppressed
        if known is None:
            same = (row.standing, suppressed)
            if same not in self._of_newcomers:
                self._of_newcomers[same] = self._decision(row, None, suppressed=suppressed)
            return _Step(prepared, None, *self._of_newcomers[same])
        return _Step(prepared, known, *self._decision(row, known, suppressed=suppressed))

    def _decision(
        self, row: ListRow, known: Known | None, *, suppressed: bool
    ) -> tuple[Decision, _Way]:
        standing = Standing(row.standing)
        states = known.states if known else [None] * len(self._purpose_ids)
        decision = decide(standing, states, suppressed=suppressed)
        return decision, self._way(standing, known, decision, row)

    def _way(
        self, standing: Standing, known: Known | None, decision: Decision, row: ListRow
    ) -> _Way:
        if standing in SUPPRESSES:
            return _Way.ONE_BY_ONE
        if decision.outcome is Outcome.SUPPRESSED:
            return _Way.NOTHING
        leaves = standing is Standing.UNSUBSCRIBED
        if self._terms.asks and not leaves:
            return _Way.ONE_BY_ONE
        if known is None:
            return _Way.NEW
        if leaves:
            return _Way.ONE_BY_ONE if any(decision.events) else _Way.NOTHING
        told = any(decision.events) or _merged(known, row) != known.reader.attributes
        return _Way.KNOWN if told else _Way.NOTHING

    def _insert_new(self, session: Session, steps: Sequence[_Step]) -> None:
        insert_new(session, [step.prepared for step in steps])
        for step in steps:
            if step.decision.outcome is Outcome.LEFT:
                self._tell_journal(session, step)
        if steps and self._terms.dialect == "postgresql":
            # Whoever was forgotten after we looked is new again: forgotten people stay so.
            hashes = [step.row.hashed for step in steps]
            if suppressed_of(session, hashes, self._terms.newsletter):
                raise TakenMeanwhile()

    def _tell_journal(self, session: Session, step: _Step) -> None:
        """Let no old backup forget that a reader who is new here had left elsewhere."""
        at = moment_of(milliseconds(self._desk.now()))
        said = zip(step.prepared.said, step.decision.events, self._terms.purposes, strict=True)
        for one, state, (_, slug) in said:
            if state is not None:
                where = step.row.hashed, self._terms.newsletter, slug
                tell(session, Withdrawn(at, *where, state, Method.IMPORT, one.event_id))

    def _record_known(self, session: Session, steps: Sequence[_Step], now: datetime) -> None:
        """Record what readers say who are there already: under their own key, in bulk."""
        number = sum(sum(map(bool, step.decision.events)) for step in steps)
        numbers = iter(reserve_events(session, number) if number else ())
        self._preparer.begin(milliseconds(now))
        said: list[Said] = []
        first: list[Said] = []
        for step in steps:
            assert step.known is not None
            reader = step.known.reader
            reader.attributes = _merged(step.known, step.row)
            if not any(step.decision.events):
                continue
            key = self._preparer.vault.open_key(reader.sealed_key)
            for place, state in enumerate(step.decision.events):
                if state is None:
                    continue
                one = self._preparer.say(
                    step.row, place, state, reader.id, key, reader.email, next(numbers, None)
                )
                said.append(one)
                subscription = step.known.subscriptions[place]
                if subscription is None:
                    first.append(one)
                else:
                    subscription.state = SubscriptionState.ACTIVE.value
                    subscription.since = now
                    subscription.valid_until = None if one.ends is None else moment_of(one.ends)
        session.flush()
        insert_subscriptions(session, first)
        insert_events(session, said)

    def _record_one(self, session: Session, step: _Step, now: datetime) -> Outcome:
        """Record what follows for more than the reader's own rows."""
        standing = Standing(step.row.standing)
        if standing in SUPPRESSES:
            detail = f"import {self._run_id}"
            reason = SUPPRESSES[standing]
            suppress(session, step.row.hashed, reason, now=now, detail=detail)
            return Outcome.SUPPRESSED
        if standing is Standing.UNSUBSCRIBED:
            self._let_leave(session, step, now)
            return step.decision.outcome
        return self._ask(session, step, now)

    def _let_leave(self, session: Session, step: _Step, now: datetime) -> None:
        assert step.known is not None
        for purpose_id, state in zip(self._purpose_ids, step.decision.events, strict=True):
            if state is not None:
                purpose = session.get_one(Purpose, purpose_id)
                record(
                    session, step.known.reader, purpose, state, self._evidence(step.row), now=now
                )

    def _ask(self, session: Session, step: _Step, now: datetime) -> Outcome:
        row = step.row
        outcome = add_reader(
            session,
            session.get_one(Newsletter, self._terms.newsletter_id),
            parse_address(row.email),
            purposes=[slug for _, slug in self._terms.purposes],
            details=ReaderDetails(row.name, row.locale, row.timezone),
            attributes=json.loads(row.attributes or "{}"),
            evidence=self._evidence(row),
            renderer=self._desk.renderer,
            confirm=True,
            suppression_key=self._desk.suppression_key,
            now=now,
        )
        return _OUTCOMES[outcome]

    def _evidence(self, row: ListRow) -> Evidence:
        return Evidence(
            Method.IMPORT,
            source=self._terms.source_of(row.line),
            stated_at=None if row.stated_at is None else moment_of(row.stated_at),
        )


def _merged(known: Known, row: ListRow) -> dict[str, Any]:
    """Return the reader's attributes with those of the list."""
    attributes = known.reader.attributes
    return {**attributes, **json.loads(row.attributes)} if row.attributes else attributes


def _passes(error: Exception) -> bool:
    """Say whether it may go well at the next try: others were there at the same time."""
    state = getattr(error.orig, "sqlstate", "") if isinstance(error, DBAPIError) else ""
    return isinstance(error, TakenMeanwhile) or state in _AGAIN


def _rows(steps: Sequence[_Step]) -> int:
    return sum(step.prepared.reader.rows for step in steps)


_OUTCOMES = {
    AddOutcome.ASKED: Outcome.NEW,
    AddOutcome.ALREADY: Outcome.ALREADY,
    AddOutcome.STAYS_AWAY: Outcome.STAYS_AWAY,
    AddOutcome.SUPPRESSED: Outcome.SUPPRESSED,
}
