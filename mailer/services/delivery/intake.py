"""A line's intake: what waits for its relay, and the conversations that take from it.

Conversations that find nothing to take wait here, and are called in when something has come, or may
go now.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import structlog

from mailer.domain.relays import RelayKind
from mailer.services.delivery.conversation import Enough
from mailer.services.delivery.rate import Bucket
from mailer.services.delivery.settling import Trouble
from mailer.services.delivery.waiting import ByProvider, InOrder, ProviderPace, Waiting
from mailer.services.mails.composing import Prepared
from mailer.store.ledger import Claimed
from mailer.store.relays import ITSELF

_log = structlog.get_logger()


class Line(Protocol):
    """Whose intake it is (`mailer.services.delivery.line`)."""

    @property
    def stopping(self) -> bool:
        """Whether no gate may be passed any more."""

    def emptied(self) -> None:
        """Nothing waits any more, and nothing is under way."""

    def relay_failed(self) -> None:
        """The relay cannot be used for now."""


class Intake:
    """Gives conversations what may go (`mailer.services.delivery.conversation.Deliveries`)."""

    def __init__(self, relay: str, kind: RelayKind, line: Line) -> None:
        self._relay = relay
        self._line = line
        self._by_provider = ByProvider() if kind is RelayKind.DIRECT else None
        self._waiting: Waiting = InOrder() if self._by_provider is None else self._by_provider
        self._bucket: Bucket | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._most_conversations = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._given_back: list[Claimed] = []
        self.busy = 0
        """How many conversations have something in hand."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, batch: Sequence[Prepared]) -> None:
        """Let these go next."""
        for prepared in batch:
            self._waiting.put(prepared)
        self._call_in(len(batch))

    # What conversations need

    @property
    def stopping(self) -> bool:
        """Whether no gate may be passed any more."""
        return self._line.stopping

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
                self.busy += 1
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
        if self._by_provider is not None or self._line.stopping or self._too_many:
            return None
        return self._take()

    def done(self, prepared: Prepared) -> None:
        """A conversation has settled or given back everything that it took."""
        self.busy -= 1
        self._waiting.done(prepared)
        if self._waiting:
            self._call_in(1)
        elif not self.busy:
            self._line.emptied()

    def give_back(self, claimed: Claimed) -> None:
        """Let another worker have it; not a byte of it was sent."""
        self._given_back.append(claimed)

    def failed(self, trouble: Trouble) -> None:
        """Give back what waits for who has failed: it is left alone, as the database says."""
        if trouble.provider == ITSELF:
            _log.warning("relay failed", relay=self._relay, reason=trouble.reason)
            self.clear()
            self._line.relay_failed()
        elif self._by_provider is not None:
            _log.warning("provider failed", provider=trouble.provider, reason=trouble.reason)
            self._given_back += self._by_provider.clear_provider(trouble.provider)

    # What the line needs

    def clear(self) -> None:
        """Give back all that waits."""
        self._given_back += self._waiting.clear()

    def returned(self) -> list[Claimed]:
        """Return what has been given back since it was last asked."""
        claimed, self._given_back = self._given_back, []
        return claimed

    def keep_rate(self, rate: float | None) -> None:
        """Give out no more than `rate` mails a second; None: as many as are wanted."""
        if rate is None:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = Bucket(rate)
        else:
            self._bucket.rate = rate

    def keep_provider_limits(
        self, connections: int, rate: float | None, learned: Mapping[str, ProviderPace]
    ) -> None:
        """Keep the limits toward receiving providers, where the relay answers for them."""
        if self._by_provider is not None:
            self._by_provider.limit(connections, rate, learned)

    def crowded(self, speed_of: Callable[[str], float]) -> dict[str, float]:
        """Return the providers that enough waits for, with their speeds."""
        return self._by_provider.crowded(speed_of) if self._by_provider is not None else {}

    def drop_stale(self, seconds: float) -> None:
        """Give back what has waited longer than that: its lease must not run out here."""
        self._given_back += self._waiting.stale(seconds)

    @property
    def has_room(self) -> bool:
        """Whether a conversation has nothing to do though something waits.

        So it is where providers have as much as they take: others may be behind them.
        """
        return self._by_provider is not None and len(self._idle) > 0

    def keep_conversations(
        self, number: int, converse: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Have so many conversations; those that are too many end when they have settled."""
        self._most_conversations = number
        if not number:
            self.clear()
        while len(self._conversations) < number:
            self._conversations.add(asyncio.create_task(converse()))
        if self._too_many:
            self._call_in(len(self._idle))

    async def end(self) -> None:
        """Say goodbye to the relay."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

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
