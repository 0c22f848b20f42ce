"""The ledger's desk: one thread per process that settles and gates for all connections.

Whatever waits when a round begins shares one transaction, so that many messages share one commit,
and no connection waits for another's. The event loop never waits for the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from sqlalchemy.orm import Session

from mailer.store.engine import Sessions
from mailer.store.ledger import Gated, GateRequest, Settlement, exchange

T = TypeVar("T")


class LedgerDesk:
    """Settles and gates in rounds; every answer is given only after its commit."""

    def __init__(self, sessions: Sessions, *, lease: timedelta) -> None:
        self._sessions = sessions
        self._lease = lease
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._settlements: list[tuple[Settlement, asyncio.Future[bool]]] = []
        self._requests: list[tuple[GateRequest, asyncio.Future[Gated]]] = []
        self._round: asyncio.Task[None] | None = None

    async def gate(self, request: GateRequest) -> Gated:
        """Ask whether this content may go now; the answer is committed."""
        answer: asyncio.Future[Gated] = asyncio.get_running_loop().create_future()
        self._requests.append((request, answer))
        self._begin_round()
        return await answer

    async def settle(self, settlement: Settlement) -> bool:
        """Write down what became of a delivery; False where its lease was lost meanwhile."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._settlements.append((settlement, answer))
        self._begin_round()
        return await answer

    async def run(self, work: Callable[[Session], T]) -> T:
        """Run other work of the sender in the ledger's thread, in a transaction of its own."""

        def transaction() -> T:
            with self._sessions.begin() as session:
                return work(session)

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)

    def close(self) -> None:
        """Let the thread end after what it has begun."""
        self._thread.shutdown(wait=True)

    def _begin_round(self) -> None:
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._rounds())

    async def _rounds(self) -> None:
        while self._settlements or self._requests:
            settlements, self._settlements = self._settlements, []
            requests, self._requests = self._requests, []
            try:
                held, gated = await self.run(
                    lambda session, s=settlements, r=requests: exchange(  # type: ignore[misc]
                        session,
                        [settlement for settlement, _ in s],
                        [request for request, _ in r],
                        lease=self._lease,
                    )
                )
            except Exception as error:
                _fail([answer for _, answer in settlements], error)
                _fail([answer for _, answer in requests], error)
                continue
            for (_, settled), ok in zip(settlements, held, strict=True):
                _answer(settled, ok)
            for request, answer in requests:
                _answer(answer, gated[request.id])


def _answer(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(futures: Sequence[asyncio.Future[T]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
