"""The sender: claims what is due and keeps the connections to the relay at work.

It lives as long as its process, on an event loop in a thread of its own. `wake` is a hint from
outside; the database is asked anyway every few seconds.
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
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from mailer.services.alive import senders_alive
from mailer.services.composing import Composer, Prepared
from mailer.services.conversation import Conversation
from mailer.services.ledger_desk import LedgerDesk
from mailer.services.rate import Bucket
from mailer.services.settling import Judge
from mailer.store.engine import Sessions
from mailer.store.ledger import Claimed, claim, hand_back
from mailer.store.relays import default_relay, standing_of
from mailer.transports import Transport

_log = structlog.get_logger()

_SMALLEST_BATCH, _LARGEST_BATCH = 100, 2_000
_BATCH_LASTS = (0.25, 2.0)
"""Seconds: a batch that is gone sooner was too small, one that lasts longer too large. So a slow
relay does not let leases run out, and what is urgent never waits behind much."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the sender spends its time."""

    connections: int = 50
    lease: timedelta = timedelta(seconds=120)
    gate_to_body: timedelta = timedelta(seconds=5)
    look_again: timedelta = timedelta(seconds=2)
    drain: timedelta = timedelta(seconds=50)
    round_pause: timedelta = timedelta()
    rate: float | None = None  # messages/s of all workers together


class Sender:
    """Sends whatever is due until it is stopped."""

    def __init__(
        self,
        engine: Engine,
        sessions: Sessions,
        transport: Transport,
        composer: Composer,
        *,
        worker: str,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        pace: Pace = Pace(),
        desk: type[LedgerDesk] = LedgerDesk,
    ) -> None:
        self._composer = composer
        self._worker = worker
        self._pace = pace
        self._desk = desk(
            engine, sessions, lease=pace.lease, pause=pace.round_pause.total_seconds()
        )
        judge = Judge(transport.name, now=now, jitter=jitter)
        self._conversations = [
            Conversation(
                transport, self._desk, judge, composer, self,
                now=now, gate_to_body=pace.gate_to_body.total_seconds(),
            )
            for _ in range(pace.connections)
        ]  # fmt: skip
        self._loop = uvloop.new_event_loop()
        self._waiting: asyncio.Queue[Prepared] = asyncio.Queue()
        self._given_back: list[Claimed] = []
        self._woken = asyncio.Event()
        self._busy = 0
        self._batch = _SMALLEST_BATCH
        self._probing = False
        self._bucket = Bucket(pace.rate) if pace.rate else None
        self._thread: threading.Thread | None = None
        self.stopping = False
        """Whether no gate may be passed any more."""
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
        self.stopping = True
        self.wake()

    def stop(self) -> None:
        """Pass no more gates, finish what is past one, give the leases back; wait for all of it."""
        self.begin_stop()
        if self._thread is not None:
            self._thread.join(self._pace.drain.total_seconds() + 5)
        self._desk.close()

    # What conversations need (`mailer.services.conversation.Deliveries`)

    async def next(self) -> Prepared:
        """Wait for a delivery, and for the relay's rate to allow it."""
        prepared = await self._waiting.get()
        self._busy += 1
        while self._bucket is not None and not self._bucket.take() and not self.stopping:
            await asyncio.sleep(self._bucket.wait)
        return prepared

    def next_at_once(self) -> Prepared | None:
        """Return a delivery if one waits and the sender goes on."""
        if self.stopping or self._waiting.empty():
            return None
        if self._bucket is not None and not self._bucket.take():
            return None
        return self._waiting.get_nowait()

    def done(self) -> None:
        """A conversation has settled or given back everything that it took."""
        self._busy -= 1
        if not self._busy and self._waiting.empty():
            self._woken.set()  # that was the last: see at once whether there is more

    def give_back(self, claimed: Claimed) -> None:
        """Let another worker have it; not a byte of it was sent."""
        self._given_back.append(claimed)

    def relay_failed(self) -> None:
        """Give back all that waits: the relay is left alone, as its row in the database says."""
        while not self._waiting.empty():
            self._given_back.append(self._waiting.get_nowait().claimed)

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()

    async def _run(self) -> None:
        self._desk.open()
        tasks = [asyncio.create_task(each.live()) for each in self._conversations]
        while not self.stopping:
            self._woken.clear()
            await self._return_leases()
            if await self._claim():
                await self._use_up()
                continue
            if self._waiting.empty() and not self._busy:
                self.idle.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._pace.look_again.total_seconds())
        await self._drain(tasks)

    async def _claim(self) -> int:
        """Lease what is due, unless the relay is being left alone; return how much."""
        try:
            batch = await self._desk.run(self._claim_batch)
        except SQLAlchemyError as error:
            _log.warning("database does not answer", reason=str(error).splitlines()[0])
            return 0
        except Exception:
            _log.exception("nothing can be claimed")  # and the sender lives on
            return 0
        if batch:
            self.idle.clear()
        for prepared in batch:
            self._waiting.put_nowait(prepared)
        return len(batch)

    def _claim_batch(self, session: Session) -> list[Prepared]:
        relay = standing_of(session, default_relay(session))
        if not relay.may_be_tried:
            return []
        self._probing = relay.failing
        if self._bucket is not None and self._pace.rate:
            self._bucket.rate = self._pace.rate / max(senders_alive(session), 1)
        limit = 1 if relay.failing else self._batch
        connection = session.connection()
        batch = claim(connection, worker=self._worker, limit=limit, lease=self._pace.lease)
        return self._composer.prepare(connection, batch)

    async def _use_up(self) -> None:
        """Wait until half of a batch is left, and learn from how long it took.

        A relay that has failed is sent one mail, and no more before its fate is known.
        """
        while self._probing and (self._busy or not self._waiting.empty()) and not self.stopping:
            await asyncio.sleep(0.005)
        began = time.monotonic()
        while self._waiting.qsize() > self._batch // 2 and not self.stopping:
            await asyncio.sleep(0.005)
        took = time.monotonic() - began
        shortest, longest = _BATCH_LASTS
        if took < shortest:
            self._batch = min(self._batch * 2, _LARGEST_BATCH)
        elif took > longest:
            self._batch = max(self._batch // 2, _SMALLEST_BATCH)

    async def _return_leases(self) -> None:
        claimed, self._given_back = self._given_back, []
        if not claimed:
            return
        try:
            await self._desk.run(lambda session: hand_back(session.connection(), claimed))
        except SQLAlchemyError:
            _log.warning("leases are left to run out", number=len(claimed))

    async def _drain(self, tasks: list[asyncio.Task[None]]) -> None:
        """Finish what is past the gate, return the rest, and say goodbye to the relay."""
        deadline = time.monotonic() + self._pace.drain.total_seconds()
        while self._busy and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self.relay_failed()
        await self._return_leases()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
