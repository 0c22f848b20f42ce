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
from datetime import timedelta
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.services.delivery.late_news import take_back
from mailer.services.delivery.visits import Effect, Errand, LedgerSilent, Told, Visit, post
from mailer.store.engine import Sessions
from mailer.store.ledger import Gated, GateRequest, Settlement, exchange

_log = structlog.get_logger()
T = TypeVar("T")

_LOOK_AGAIN = 1.0


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
        self._waiting: queue.SimpleQueue[Visit | Errand | None] = queue.SimpleQueue()
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
        self._waiting.put(Visit(settlements, request, effects, answer))
        return await answer

    async def run(self, work: Callable[[Session], T]) -> T:
        """Run other work of the sender in the ledger's thread, in a transaction of its own."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.put(Errand(work, answer))
        return await answer

    def _live(self) -> None:
        ends = False
        while not ends:
            visits: list[Visit] = []
            errands: list[Errand] = []
            for item in self._next():
                match item:
                    case Visit():
                        visits.append(item)
                    case Errand():
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

    def _next(self) -> list[Visit | Errand | None]:
        """Return everything that waits, as soon as something does."""
        found: list[Visit | Errand | None] = []
        try:
            found.append(self._waiting.get(timeout=_LOOK_AGAIN if self._untold else None))
            while True:
                found.append(self._waiting.get_nowait())
        except queue.Empty:
            return found

    def _serve(self, visits: Sequence[Visit]) -> None:
        """Run one round for all visitors, and tell them when it is committed."""
        settlements = [*self._untold, *(each for visit in visits for each in visit.settlements)]
        # By id, as withdrawals lock a reader's rows: in one order there is no deadlock.
        requests = sorted(
            (visit.request for visit in visits if visit.request is not None),
            key=lambda request: request.id,
        )
        effects = [*self._owed, *(effect for visit in visits for effect in visit.effects)]
        effects.sort(key=_locks)
        try:
            held, gated = self._round(settlements, requests, effects)
        except Exception as error:  # or the thread ends, and nobody is answered any more
            self._drop_connection()
            self._log_failure("the ledger failed", error)
            self._untold = settlements + [_given_back(request) for request in requests]
            self._owed = effects
            post([(visit.answer, LedgerSilent(str(error))) for visit in visits])
            return
        held = self._with_late_news(settlements, held)
        told = iter(held[len(self._untold) :])
        self._untold, self._owed = [], []
        post(
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

    def _round(
        self,
        settlements: Sequence[Settlement],
        requests: Sequence[GateRequest],
        effects: list[Effect],
    ) -> tuple[list[bool], dict[int, Gated]]:
        """Settle, let follow what follows, and gate; takes out of `effects` what is done with.

        Where an effect may be at fault, each is run alone once all is settled: only that one is
        lost, and it holds up nobody.
        """
        try:
            return self._exchange(settlements, requests, effects)
        except Exception as error:
            if not effects or self._is_away(error):
                raise
            self._log_failure("what follows from settlements failed; each is tried alone", error)
        held, _ = self._exchange(settlements, (), ())
        while effects:
            self._run_alone(effects[0])
            del effects[0]
        _, gated = self._exchange((), requests, ())
        return held, gated

    def _run_alone(self, effect: Effect) -> None:
        try:
            with self._sessions.begin() as session:
                effect.act(session)
        except Exception as error:
            if self._is_away(error):
                raise
            self._log_failure("what follows from a settlement is lost", error)

    def _is_away(self, error: Exception) -> bool:
        """Say whether it is the database that failed, and so all can be tried again."""
        driver = self._engine.dialect.loaded_dbapi
        return isinstance(
            error,
            OperationalError | InterfaceError | driver.OperationalError | driver.InterfaceError,
        )

    def _log_failure(self, what: str, error: Exception) -> None:
        driver = self._engine.dialect.loaded_dbapi
        known = isinstance(error, SQLAlchemyError | driver.Error)
        reason = (str(error) or repr(error)).splitlines()[0]
        _log.error(what, reason=reason, exc_info=not known)

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
                effect.act(session)
                session.flush()  # so that it locks its row now, not when the next one has its own
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

    def _run(self, errand: Errand) -> None:
        try:
            with self._sessions.begin() as session:
                result = errand.work(session)
        except Exception as error:
            post([(errand.answer, error)])
        else:
            post([(errand.answer, result)])


def _locks(effect: Effect) -> tuple[str, int, str]:
    return effect.locks


_WORDS_OF_A_FAILED_GATE = "the database did not answer at the gate: nothing was sent"


def _given_back(request: GateRequest) -> Settlement:
    """Return what is to be written of a delivery whose gate nobody knows: surely not sent."""
    return Settlement(
        request.id, request.period, request.fence, DeliveryState.QUEUED,
        relay="", stage="gate", reply=_WORDS_OF_A_FAILED_GATE, counts=0,
    )  # fmt: skip
