"""Writing prepared readers: in transactions so short that nobody waits, each of them whole.

A transaction holds its readers, their events, what follows for those who are known, and how far the
import has come. So it may end at any moment, and goes on where it ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from mailer.domain.consent import Method
from mailer.domain.importing import Outcome
from mailer.services.imports.known import Desk, OneByOne, record_known
from mailer.services.imports.plan import Newcomers, Plan, Planner
from mailer.services.imports.rows import milliseconds, moment_of
from mailer.services.imports.tally import Tally
from mailer.store.engine import Sessions
from mailer.store.importing.ground import look_up, suppressed_of
from mailer.store.importing.prepare import Batch, Preparer
from mailer.store.importing.runs import advance
from mailer.store.importing.write import TakenMeanwhile, insert_new
from mailer.store.journal import Withdrawn, tell

_TRIES = 20
_AGAIN = frozenset({"40P01", "40001"})  # PostgreSQL: a deadlock, a serialisation failure
_SMALLEST, _LARGEST = 200.0, 4_000.0  # costs that a transaction has room for


class Pace(NamedTuple):
    """How long a transaction should take, and what is done after each."""

    seconds: float
    pause: Callable[[], None]


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
        self._planner = Planner(preparer.terms)
        self._one_by_one = OneByOne(preparer, desk, run_id)
        self._now = desk.now
        self._pace = pace
        self._run_id = run_id
        self._room = 4 * _SMALLEST
        self.done = done
        self.tally = tally

    def write(self, batch: Batch, wrote: Callable[[int], object]) -> None:
        """Write all of them; `wrote` is told after every transaction how many rows are done."""
        begin = 0
        while begin < len(batch.readers):
            began = time.monotonic()
            begin = self._transaction(batch, begin)
            took = time.monotonic() - began
            room = self._room * min(max(self._pace.seconds / took, 0.5), 1.3)
            self._room = min(max(room, _SMALLEST), _LARGEST)
            wrote(self.done)
            self._pace.pause()

    def _transaction(self, batch: Batch, begin: int) -> int:
        """Write as many of them as one transaction has room for; return where it ended."""
        for tried in count(1):
            try:
                with self._sessions.begin() as session:
                    plan = self._write(session, batch, begin)
            except (TakenMeanwhile, DBAPIError) as error:
                if tried == _TRIES or not _passes(error):
                    raise
            else:
                break
        self.tally, self.done = plan.tally, self.done + plan.rows
        return plan.end

    def _write(self, session: Session, batch: Batch, begin: int) -> Plan:
        now = self._now()
        looked = batch.readers[begin : begin + int(self._room)]
        hashes = [reader.row.hashed for reader in looked]
        ground = look_up(session, hashes, self._terms.newsletter, self._purpose_ids, lock=True)
        plan = self._planner.plan(batch, begin, self._room, ground, self.tally.copy())
        for newcomers in plan.new:
            self._insert_new(session, batch, newcomers)
        record_known(session, plan.known, self._preparer, now)
        for step in plan.one_by_one:
            plan.tally.count(self._one_by_one.record(session, step, now))
        now_done = self.done + plan.rows
        advance(session, self._run_id, done=self.done, now_done=now_done, counts=plan.tally.counts)
        return plan

    def _insert_new(self, session: Session, batch: Batch, newcomers: Newcomers) -> None:
        places = newcomers.places
        insert_new(session, [batch.subscribers[place] for place in places], batch.said_by(places))
        if newcomers.decision.outcome is Outcome.LEFT:
            for place in places:
                self._tell_journal(session, batch, place, newcomers)
        if self._terms.dialect == "postgresql":
            # Whoever was forgotten after we looked is new again: forgotten people stay so.
            hashes = [batch.readers[place].row.hashed for place in places]
            if suppressed_of(session, hashes, self._terms.newsletter):
                raise TakenMeanwhile()

    def _tell_journal(
        self, session: Session, batch: Batch, place: int, newcomers: Newcomers
    ) -> None:
        """Let no old backup forget that a reader who is new here had left elsewhere."""
        at = moment_of(milliseconds(self._now()))
        states = newcomers.decision.events
        said: Sequence[Any] = batch.said_by([place])
        for one, state, (_, slug) in zip(said, states, self._terms.purposes, strict=True):
            if state is not None:
                where = batch.readers[place].row.hashed, self._terms.newsletter, slug
                tell(session, Withdrawn(at, *where, state, Method.IMPORT, one[4]))


def _passes(error: Exception) -> bool:
    """Say whether it may go well at the next try: others were there at the same time."""
    state = getattr(error.orig, "sqlstate", "") if isinstance(error, DBAPIError) else ""
    return isinstance(error, TakenMeanwhile) or state in _AGAIN
