"""A line: one relay's connections in this process, and what waits for them.

It claims what its relay is to take, in batches that last for a moment, and keeps the conversations
at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from mailer.domain.relays import RelayConfig, RelayKind
from mailer.services.allotting import Allotment, Request, allot
from mailer.services.composing import Composer, Prepared
from mailer.services.conversation import Conversation, Enough
from mailer.services.ledger_desk import LedgerDesk
from mailer.services.rate import Bucket
from mailer.services.settling import Judge, Party, Trouble
from mailer.services.waiting import ByProvider, InOrder, Waiting
from mailer.store.ledger import Claimed, hand_back
from mailer.store.relays import ITSELF, RelayRow, take_from_today
from mailer.transports import Transport

_log = structlog.get_logger()

_SMALLEST_BATCH = 100
_LARGEST_BATCH = {RelayKind.QUEUEING: 2_000, RelayKind.DIRECT: 400}
_BATCH_LASTS = (0.25, 2.0)
"""Seconds: a batch that is gone sooner was too small, one that lasts longer too large. So a slow
relay does not let leases run out, and what is urgent never waits behind much."""
_ASK_AGAIN = 0.05
"""Seconds: a line with a connection to spare asks no more often while its providers have enough."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How senders spend their time."""

    lease: timedelta = timedelta(seconds=120)
    gate_to_body: timedelta = timedelta(seconds=5)
    look_again: timedelta = timedelta(seconds=2)
    drain: timedelta = timedelta(seconds=50)
    round_pause: timedelta = timedelta()


USUAL_PACE = Pace()


class Access(NamedTuple):
    """How to reach a relay, and what it is to be given at once."""

    transport: Transport
    config: RelayConfig


@dataclass(frozen=True, slots=True)
class Common:
    """What all lines of a process share."""

    desk: LedgerDesk
    composer: Composer
    worker: str
    now: Callable[[], datetime]
    jitter: Callable[[], float]
    pace: Pace


class Host(Protocol):
    """The process's sender, as its lines see it."""

    @property
    def stopping(self) -> bool:
        """Whether no gate may be passed any more."""

    @property
    def called(self) -> int:
        """How often it has been called to look for work."""

    def line_works(self) -> None:
        """A line has something to do."""

    def line_rests(self) -> None:
        """A line has looked, and there was nothing that it could send now."""


class Line:
    """Sends what its relay is to take until it is closed, or its host stops."""

    def __init__(self, relay: RelayRow, access: Access, common: Common, host: Host) -> None:
        self.relay = relay
        self._access = access
        self._common = common
        self._host = host
        party = Party(relay.id, access.transport.name, access.config.kind)
        self._judge = Judge(party, now=common.now, jitter=common.jitter)
        self._by_provider = ByProvider() if access.config.kind is RelayKind.DIRECT else None
        self._waiting: Waiting = InOrder() if self._by_provider is None else self._by_provider
        self._bucket: Bucket | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._most_conversations = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._busy = 0
        self._given_back: list[Claimed] = []
        self._batch = _SMALLEST_BATCH
        self._probing = False
        self._woken = asyncio.Event()
        self._closing = False
        self.rested = -1
        """The host's last call at which there was nothing to send."""

    def wake(self) -> None:
        """Look for work at once."""
        self._woken.set()

    def close(self) -> None:
        """Take nothing more; what is in hand is finished."""
        self._closing = True
        self._woken.set()

    def stand_down(self) -> None:
        """Give back what waits: the relay is not to be used now."""
        self._given_back += self._waiting.clear()
        self._woken.set()

    async def live(self) -> None:
        """Send until closed or stopped; then give back what is not past its gate."""
        while not self._ends:
            self._woken.clear()
            called = self._host.called
            await self._return_leases()
            if await self._claim():
                await self._use_up()
                continue
            if not self._waiting and not self._busy:
                self.rested = called
                self._host.line_rests()
            with contextlib.suppress(TimeoutError):
                pause = self._common.pace.look_again.total_seconds()
                crowded = self._by_provider is not None and self._waiting
                await asyncio.wait_for(self._woken.wait(), _ASK_AGAIN if crowded else pause)
        await self._drain()

    # What conversations need (`mailer.services.conversation.Deliveries`)

    @property
    def stopping(self) -> bool:
        """Whether no gate may be passed any more."""
        return self._host.stopping

    async def next(self) -> Prepared:
        """Wait for a delivery that may go; raises Enough where there are too many connections."""
        while True:
            if self._too_many:
                me = asyncio.current_task()
                assert me is not None
                self._conversations.discard(me)
                raise Enough
            prepared = self._take()
            if prepared is not None:
                self._busy += 1
                self._call_in(1 if self._waiting else 0)
                return prepared
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            if self._waiting:
                self._look_later()
            await waiter

    def next_at_once(self) -> Prepared | None:
        """Return a delivery if one waits and may go.

        A receiver's own reply is awaited before the next: that may be for another, or for nobody.
        """
        if self._by_provider is not None or self._host.stopping or self._too_many:
            return None
        return self._take()

    def done(self, prepared: Prepared) -> None:
        """A conversation has settled or given back everything that it took."""
        self._busy -= 1
        self._waiting.done(prepared)
        if self._waiting:
            self._call_in(1)
        elif not self._busy:
            self._woken.set()  # that was the last: see at once whether there is more

    def give_back(self, claimed: Claimed) -> None:
        """Let another worker have it; not a byte of it was sent."""
        self._given_back.append(claimed)

    def failed(self, trouble: Trouble) -> None:
        """Give back what waits for who has failed: it is left alone, as the database says."""
        if trouble.provider == ITSELF:
            _log.warning("relay failed", relay=self.relay.name, reason=trouble.reason)
            self._given_back += self._waiting.clear()
        elif self._by_provider is not None:
            _log.warning("provider failed", provider=trouble.provider, reason=trouble.reason)
            self._given_back += self._by_provider.clear_provider(trouble.provider)

    @property
    def _ends(self) -> bool:
        return self._closing or self._host.stopping

    @property
    def _too_many(self) -> bool:
        return len(self._conversations) > self._most_conversations

    def _take(self) -> Prepared | None:
        if self._bucket is not None and not self._bucket.fill():
            return None
        prepared = self._waiting.take()
        if prepared is not None and self._bucket is not None:
            self._bucket.take()
        return prepared

    def _call_in(self, number: int) -> None:
        """Let so many idle conversations look at what waits."""
        while number and self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                number -= 1

    def _look_later(self) -> None:
        """Something waits, and may not go yet: let one conversation look again in a moment."""
        if self._timer is None:
            pause = self._bucket.wait if self._bucket is not None else 0.0
            self._timer = asyncio.get_running_loop().call_later(max(pause, 0.005), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._call_in(1)

    async def _claim(self) -> bool:
        """Lease what is due for this relay; say whether it is worth while to go on at once."""
        crowded: Mapping[str, float] = {}
        if self._by_provider is not None:
            crowded = self._by_provider.crowded(self._judge.speed.of)
        request = Request(
            self.relay.id, self._access.config, self._common.worker,
            self._batch, self._common.pace.lease, crowded,
        )  # fmt: skip

        def look(session: Session) -> tuple[Allotment, Sequence[Prepared]]:
            allotment = allot(session, request, now=self._common.now())
            batch = self._common.composer.prepare(session.connection(), allotment.batch)
            return allotment, batch

        try:
            allotment, batch = await self._common.desk.run(look)
        except SQLAlchemyError as error:
            _log.warning("database does not answer", reason=str(error).splitlines()[0])
            return False
        except Exception:
            _log.exception("nothing can be claimed")  # and the sender lives on
            return False
        if batch:
            self._host.line_works()
            self.rested = -1
        self._keep_limits(allotment)
        for prepared in batch:
            self._waiting.put(prepared)
        self._call_in(len(batch))
        return bool(batch) or allotment.look_again

    def _keep_limits(self, allotment: Allotment) -> None:
        config, place = self._access.config, allotment.place
        self._probing = allotment.probing
        self._judge.workers = place.of
        self._judge.failing.update(
            provider for provider, pace in allotment.providers.items() if pace.failing
        )
        rate = place.rate(config.rate, allotment.rate)
        if rate is None:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = Bucket(rate)
        else:
            self._bucket.rate = rate
        if self._by_provider is not None:
            connections = max(place.part(config.provider_connections) or 0, 1)
            self._by_provider.limit(
                connections, place.rate(config.provider_rate), allotment.providers
            )
        part = place.part(config.max_connections)
        self._set_conversations(
            config.connections if part is None else min(config.connections, part)
        )

    def _set_conversations(self, number: int) -> None:
        self._most_conversations = number
        while len(self._conversations) < number:
            conversation = Conversation(
                self._access.transport, self._common.desk, self._judge, self._common.composer, self,
                now=self._common.now,
                gate_to_body=self._common.pace.gate_to_body.total_seconds(),
            )  # fmt: skip
            task = asyncio.create_task(conversation.live())
            self._conversations.add(task)
        if self._too_many:
            self._call_in(len(self._idle))

    async def _use_up(self) -> None:
        """Wait until half of a batch is left, and learn from how long it took.

        A relay that has failed is sent one mail, and no more before its fate is known.
        """
        while self._probing and (self._busy or self._waiting) and not self._ends:
            await asyncio.sleep(0.005)
        began = time.monotonic()
        while len(self._waiting) > self._batch // 2 and not self._ends:
            await asyncio.sleep(0.005)
            spare = self._idle and time.monotonic() - began > _ASK_AGAIN
            if self._by_provider is not None and spare:
                self._given_back += self._by_provider.stale()
                break
        took = time.monotonic() - began
        shortest, longest = _BATCH_LASTS
        if took < shortest:
            self._batch = min(self._batch * 2, _LARGEST_BATCH[self._access.config.kind])
        elif took > longest:
            self._batch = max(self._batch // 2, _SMALLEST_BATCH)

    async def _return_leases(self) -> None:
        claimed, self._given_back = self._given_back, []
        if not claimed:
            return

        def return_them(session: Session) -> None:
            hand_back(session.connection(), claimed)
            if self.relay.warm_up_first is not None:
                now = self._common.now()
                take_from_today(session, self.relay.id, -len(claimed), now=now)

        try:
            await self._common.desk.run(return_them)
        except SQLAlchemyError:
            _log.warning("leases are left to run out", number=len(claimed))

    async def _drain(self) -> None:
        """Finish what is past the gate, return the rest, and say goodbye to the relay."""
        self._given_back += self._waiting.clear()
        deadline = time.monotonic() + self._common.pace.drain.total_seconds()
        while self._busy and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await self._return_leases()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
