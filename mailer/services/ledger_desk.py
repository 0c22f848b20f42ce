"""The ledger's desk: one thread per process that settles and gates for all connections.

Whatever waits when a round begins shares one statement and one commit, and no connection waits for
another's. The event loop never waits for the database.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.services.late_news import take_back
from mailer.store.engine import Sessions
from mailer.store.ledger import Gated, GateRequest, Settlement, exchange

_log = structlog.get_logger()
T = TypeVar("T")
Effect = Callable[[Session], object]
"""What else follows from a settlement: a suppression, a pause. In the settlement's transaction."""

_LOOK_AGAIN = 1.0
_WORDS_OF_A_FAILED_GATE = "the database did not answer at the gate: nothing was sent"


class LedgerSilent(Exception):
    """The database did not answer; nothing may be handed over."""


@dataclass(slots=True)
class _Visit:
    """One connection's turn: what it knows, and what it asks."""

    settlements: tuple[Settlement, ...]
    request: GateRequest | None
    effects: tuple[Effect, ...]
    answer: asyncio.Future[Any]


@dataclass(slots=True)
class _Errand:
    """Other work of the sender, in a transaction of its own."""

    work: Callable[[Session], Any]
    answer: asyncio.Future[Any]


class Told(NamedTuple):
    """The desk's answer: whether each settlement's fence still held, and what the gate says."""

    held: tuple[bool, ...]
    gated: Gated | None


class LedgerDesk:
    """Settles and gates in rounds; every answer is given only after its commit.

    What a relay has said is not forgotten because the database is away for a while: settlements
    are kept and told again until it is back, with what else follows from them.
    """

    def __init__(
        self,
        engine: Engine,
        sessions: Sessions,
        *,
        lease: timedelta,
        pause: float = 0.0,
    ) -> None:
        self._engine = engine
        self._sessions = sessions
        self._lease = lease
        self._pause = pause
        self._waiting: queue.SimpleQueue[_Visit | _Errand | None] = queue.SimpleQueue()
        self._untold: list[Settlement] = []
        self._owed: list[Effect] = []
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._live, name="ledger", daemon=True)

    def open(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """End after all that has been asked; what the database would not take is lost to us.

        (Its rows say `sending`, and become uncertain.)
        """
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    async def visit(
        self,
        *settlements: Settlement,
        request: GateRequest | None = None,
        effects: tuple[Effect, ...] = (),
    ) -> Told:
        """Write down what became of deliveries, and ask whether another may go.

        Raises LedgerSilent where the database does not answer: the request is then refused, and
        the settlements are told again later.
        """
        answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.put(_Visit(settlements, request, effects, answer))
        return await answer

    async def run(self, work: Callable[[Session], T]) -> T:
        """Run other work of the sender in the ledger's thread, in a transaction of its own."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.put(_Errand(work, answer))
        return await answer

    def _live(self) -> None:
        ends = False
        while not ends:
            visits: list[_Visit] = []
            errands: list[_Errand] = []
            for item in self._next():
                match item:
                    case _Visit():
                        visits.append(item)
                    case _Errand():
                        errands.append(item)
                    case None:
                        ends = True
            if visits or self._untold:
                self._serve(visits)
            for errand in errands:
                self._run(errand)
            if self._pause:
                time.sleep(self._pause)
        self._drop_connection()

    def _next(self) -> list[_Visit | _Errand | None]:
        """Return everything that waits, as soon as something does."""
        found: list[_Visit | _Errand | None] = []
        try:
            found.append(self._waiting.get(timeout=_LOOK_AGAIN if self._untold else None))
            while True:
                found.append(self._waiting.get_nowait())
        except queue.Empty:
            return found

    def _serve(self, visits: Sequence[_Visit]) -> None:
        """Run one round for all visitors, and tell them when it is committed."""
        settlements = [*self._untold, *(each for visit in visits for each in visit.settlements)]
        # By id, as withdrawals lock a reader's rows: in one order there is no deadlock.
        requests = sorted(
            (visit.request for visit in visits if visit.request is not None),
            key=lambda request: request.id,
        )
        effects = [*self._owed, *(effect for visit in visits for effect in visit.effects)]
        try:
            held, gated = self._exchange(settlements, requests, effects)
        except Exception as error:  # or the thread ends, and nobody is answered any more
            self._drop_connection()
            driver = self._engine.dialect.loaded_dbapi
            known = isinstance(error, SQLAlchemyError | driver.Error)
            away = (
                OperationalError,
                InterfaceError,
                driver.OperationalError,
                driver.InterfaceError,
            )
            reason = (str(error) or repr(error)).splitlines()[0]
            _log.error("the ledger failed", reason=reason, exc_info=not known)
            self._untold = settlements + [_given_back(request) for request in requests]
            # An effect may be at fault itself; tried again and again, it would hold up everything.
            self._owed = effects if isinstance(error, away) else []
            _post([(visit.answer, LedgerSilent(str(error))) for visit in visits])
            return
        held = self._with_late_news(settlements, held)
        told = iter(held[len(self._untold) :])
        self._untold, self._owed = [], []
        _post(
            [
                (
                    visit.answer,
                    Told(
                        tuple(next(told) for _ in visit.settlements),
                        gated[visit.request.id] if visit.request else None,
                    ),
                )
                for visit in visits
            ]
        )

    def _with_late_news(
        self, settlements: Sequence[Settlement], held: Sequence[bool]
    ) -> list[bool]:
        """Take back what was given up as uncertain and was surely not accepted."""
        return [
            holds or (told.state is DeliveryState.QUEUED and self._taken_back(told))
            for told, holds in zip(settlements, held, strict=True)
        ]

    def _taken_back(self, told: Settlement) -> bool:
        try:
            with self._sessions.begin() as session:
                return take_back(session, told)
        except Exception as error:  # it stays uncertain
            _log.warning("late news lost", delivery=told.id, reason=repr(error)[:300])
            return False

    def _exchange(
        self,
        settlements: Sequence[Settlement],
        requests: Sequence[GateRequest],
        effects: Sequence[Effect],
    ) -> tuple[list[bool], dict[int, Gated]]:
        if not effects:
            connection = self._standing_connection()
            if connection.dialect.name == "postgresql":
                # One statement that commits itself: one round trip instead of three.
                return exchange(connection, settlements, requests, lease=self._lease)
            with connection.begin():
                return exchange(connection, settlements, requests, lease=self._lease)
        with self._sessions.begin() as session:
            connection = session.connection()
            held, _ = exchange(connection, settlements, (), lease=self._lease)
            for effect in effects:  # before the gates: what has just been paused must not open
                effect(session)
            session.flush()
            _, gated = exchange(connection, (), requests, lease=self._lease)
            return held, gated

    def _standing_connection(self) -> Connection:
        """Return the connection that rounds share; on PostgreSQL every statement commits itself."""
        if self._connection is None:
            connection = self._engine.connect()
            if self._engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                # The plan does not depend on the rows, and making it costs as much as running it.
                connection.execute(text("SET plan_cache_mode = force_generic_plan"))
            self._connection = connection
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _run(self, errand: _Errand) -> None:
        try:
            with self._sessions.begin() as session:
                result = errand.work(session)
        except Exception as error:
            _post([(errand.answer, error)])
        else:
            _post([(errand.answer, result)])


def _given_back(request: GateRequest) -> Settlement:
    """Return what is to be written of a delivery whose gate nobody knows: surely not sent."""
    return Settlement(
        request.id, request.period, request.fence, DeliveryState.QUEUED,
        relay="", stage="gate", reply=_WORDS_OF_A_FAILED_GATE, counts=0,
    )  # fmt: skip


def _post(answers: Sequence[tuple[asyncio.Future[Any], object]]) -> None:
    """Give answers to their visitors, on the loop that they wait on."""
    if answers:
        loop = answers[0][0].get_loop()
        loop.call_soon_threadsafe(_give, answers)


def _give(answers: Sequence[tuple[asyncio.Future[Any], object]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
