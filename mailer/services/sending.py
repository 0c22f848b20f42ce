"""The sender: claim, personalise, offer, gate, hand over, settle.

It lives as long as its process, on an event loop in a thread of its own, with its connections kept
open. `wake` is a hint from outside; the database is asked anyway every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
import uvloop
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from mailer.services.composing import CannotCompose, Composer, Outgoing
from mailer.services.ledger_desk import LedgerDesk
from mailer.services.settling import Judge
from mailer.store.engine import Sessions
from mailer.store.ledger import Claimed, Gated, GateRequest, claim, hand_back
from mailer.store.relays import backed_off_until, default_relay
from mailer.transports import ConnectFailed, Connection, Ready, Transport

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How the sender spends its time."""

    connections: int = 50
    lease: timedelta = timedelta(seconds=120)
    gate_to_body: timedelta = timedelta(seconds=5)
    look_again: timedelta = timedelta(seconds=2)
    drain: timedelta = timedelta(seconds=50)


class Sender:
    """Sends whatever is due until it is stopped."""

    def __init__(
        self,
        sessions: Sessions,
        transport: Transport,
        composer: Composer,
        *,
        worker: str,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        pace: Pace = Pace(),
    ) -> None:
        self._sessions = sessions
        self._transport = transport
        self._composer = composer
        self._worker = worker
        self._now = now
        self._pace = pace
        self._desk = LedgerDesk(sessions, lease=pace.lease)
        self._judge = Judge(self._desk, transport.name, now=now, jitter=jitter)
        self._loop = uvloop.new_event_loop()
        self._woken = asyncio.Event()
        self._stopping = False
        self._busy = 0
        self._thread: threading.Thread | None = None
        self.idle = threading.Event()
        """Set while nothing that is due can be sent now."""

    def start(self) -> None:
        """Begin to send, in a thread of its own."""
        self._thread = threading.Thread(target=self._live, name="sender", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There may be work: look at once. Safe from any thread, and free when nothing is due."""
        self.idle.clear()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._woken.set)

    def begin_stop(self) -> None:
        """Pass no more gates from now on; returns at once."""
        self._stopping = True
        self.wake()

    def stop(self) -> None:
        """Pass no more gates, finish what is past one, give the leases back; wait for all of it."""
        self.begin_stop()
        if self._thread is not None:
            self._thread.join(self._pace.drain.total_seconds() + 5)
        self._desk.close()

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()

    async def _run(self) -> None:
        jobs: asyncio.Queue[Claimed] = asyncio.Queue()
        connections = [
            asyncio.create_task(self._serve(jobs)) for _ in range(self._pace.connections)
        ]
        while not self._stopping:
            self._woken.clear()
            claimed = await self._claim(jobs)
            if claimed and jobs.qsize() > self._pace.connections:
                await self._until(lambda: jobs.qsize() <= self._pace.connections)
            elif not claimed:
                if jobs.empty() and not self._busy:
                    self.idle.set()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(
                        self._woken.wait(), self._pace.look_again.total_seconds()
                    )
        await self._give_back(jobs)
        await self._drain(connections)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self._stopping:
            await asyncio.sleep(0.005)

    async def _claim(self, jobs: asyncio.Queue[Claimed]) -> int:
        """Lease what is due, unless the relay is being left alone; return how much."""
        try:
            batch = await self._desk.run(self._claim_batch)
        except SQLAlchemyError as error:
            _log.warning("database does not answer", reason=str(error).splitlines()[0])
            return 0
        for claimed in batch:
            self.idle.clear()
            jobs.put_nowait(claimed)
        return len(batch)

    def _claim_batch(self, session: Session) -> list[Claimed]:
        if backed_off_until(session, default_relay(session)) is not None:
            return []
        batch = claim(
            session,
            worker=self._worker,
            limit=4 * self._pace.connections,
            lease=self._pace.lease,
        )
        self._composer.prepare(session, batch)
        return batch

    async def _serve(self, jobs: asyncio.Queue[Claimed]) -> None:
        """Be one connection: take one delivery after the other."""
        connection: Connection | None = None
        try:
            while True:
                claimed = await jobs.get()
                self._busy += 1
                try:
                    connection = await self._deliver(claimed, connection)
                except Exception as error:
                    # Whatever went wrong, this delivery's row is settled by its lease or its
                    # grace, and the other deliveries must go on.
                    known = isinstance(error, SQLAlchemyError)
                    _log.error(
                        "delivery given up for now",
                        delivery=claimed.id,
                        reason=repr(error)[:300],
                        exc_info=not known,
                    )
                    if connection is not None:
                        await connection.abandon()
                    connection = None
                finally:
                    self._busy -= 1
        except asyncio.CancelledError:
            if connection is not None and connection.alive:
                await connection.close()
            raise

    async def _deliver(self, claimed: Claimed, connection: Connection | None) -> Connection | None:
        """Take one delivery as far as it goes; return the connection if it can be used again."""
        try:
            outgoing = self._composer.compose(claimed, now=self._now())
        except CannotCompose as refusal:
            await self._judge.cannot_be_composed(claimed, str(refusal))
            return connection
        if connection is None or not connection.alive:
            try:
                connection = await self._transport.connect()
            except ConnectFailed as failure:
                await self._judge.relay_failed(claimed, failure.stage, failure.reason)
                return None
        offered = await connection.offer(outgoing.envelope)
        if isinstance(offered, Ready):
            await self._pass_gate(claimed, outgoing, connection)
        else:
            await self._judge.not_taken(claimed, offered)
        return connection if connection.alive else None

    async def _pass_gate(
        self, claimed: Claimed, outgoing: Outgoing, connection: Connection
    ) -> None:
        """Ask the ledger, between 354 and the first byte of content; then hand over and settle."""
        deadline = time.monotonic() + self._pace.gate_to_body.total_seconds()
        if self._stopping:
            await connection.abandon()
            await self._desk.run(lambda session: hand_back(session, [claimed]))
            return
        gated = await self._desk.gate(GateRequest(claimed.id, claimed.period, claimed.fence))
        if gated is not Gated.OPEN:
            await connection.abandon()
            if gated is Gated.LEASE_LOST:
                _log.warning("lease lost before the gate", delivery=claimed.id)
            return
        outcome = await connection.hand_over(outgoing.content, deadline=deadline)
        held = await self._judge.handed_over(claimed, outcome)
        if not held:
            _log.warning("lease lost after the gate", delivery=claimed.id)

    async def _give_back(self, jobs: asyncio.Queue[Claimed]) -> None:
        waiting = [jobs.get_nowait() for _ in range(jobs.qsize())]
        await self._desk.run(lambda session: hand_back(session, waiting))

    async def _drain(self, connections: list[asyncio.Task[None]]) -> None:
        """Wait for what is past the gate; then say goodbye to the relay."""
        deadline = time.monotonic() + self._pace.drain.total_seconds()
        while self._busy and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
