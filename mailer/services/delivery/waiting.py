"""What a relay's connections take next: in order, or fair to the receiving providers.

A relay that queues takes everything in order. Behind one that answers with the receiver's own reply
every provider has its own queue, its own speed and so many connections at most, so that one that is
slow, or turns us away, holds up no other.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from mailer.services.delivery.rate import Bucket
from mailer.services.mails.composing import Prepared
from mailer.store.ledger import Claimed

_ENOUGH_SECONDS, _ENOUGH = 2.0, 50
"""A provider for which so much waits that it lasts for a while is crowded: no more is claimed."""


class ProviderPace(NamedTuple):
    """What one provider has taught us, as this worker's share."""

    failing: bool  # one mail at a time, until one has gone through
    rate: float | None


class Waiting(Protocol):
    """A line's queue."""

    def put(self, prepared: Prepared) -> None:
        """Add one."""

    def take(self) -> Prepared | None:
        """Return the next that may go now."""

    def done(self, prepared: Prepared) -> None:
        """What was taken is settled, or given back."""

    def clear(self) -> list[Claimed]:
        """Give up all that waits."""

    def stale(self, seconds: float) -> list[Claimed]:
        """Give up what has waited longer than that: its lease must not run out here."""

    def __len__(self) -> int: ...


class InOrder:
    """One queue for everybody."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: deque[tuple[float, Prepared]] = deque()

    def put(self, prepared: Prepared) -> None:
        """Add one."""
        self._waiting.append((self._clock(), prepared))

    def take(self) -> Prepared | None:
        """Return the next."""
        return self._waiting.popleft()[1] if self._waiting else None

    def done(self, prepared: Prepared) -> None:
        """Nothing is counted here."""

    def clear(self) -> list[Claimed]:
        """Give up all that waits."""
        gone = [each.claimed for _, each in self._waiting]
        self._waiting.clear()
        return gone

    def stale(self, seconds: float) -> list[Claimed]:
        """Give up what has waited longer than that."""
        before, gone = self._clock() - seconds, list[Claimed]()
        while self._waiting and self._waiting[0][0] < before:
            gone.append(self._waiting.popleft()[1].claimed)
        return gone

    def __len__(self) -> int:
        return len(self._waiting)


@dataclass(slots=True)
class _Provider:
    """One receiving provider's queue."""

    waiting: deque[tuple[float, Prepared]] = field(default_factory=deque)
    in_hand: int = 0
    failing: bool = False
    bucket: Bucket | None = None


class ByProvider:
    """A queue for every receiving provider, served in turn."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._providers: dict[str, _Provider] = {}
        self._turns: deque[str] = deque()
        self._connections = 1
        self._rate: float | None = None
        self._number = 0

    def limit(
        self, connections: int, rate: float | None, learned: Mapping[str, ProviderPace]
    ) -> None:
        """Set this worker's share of the limits: for every provider, and what some have taught."""
        self._connections, self._rate = connections, rate
        for name in self._providers.keys() | learned.keys():
            provider = self._providers.setdefault(name, _Provider())
            pace = learned.get(name, ProviderPace(False, None))
            provider.failing = pace.failing
            rates = [each for each in (rate, pace.rate) if each is not None]
            self._set_rate(provider, min(rates) if rates else None)

    def put(self, prepared: Prepared) -> None:
        """Add one."""
        name = prepared.claimed.provider
        provider = self._providers.get(name)
        if provider is None:
            provider = self._providers[name] = _Provider()
            self._set_rate(provider, self._rate)
        if not provider.waiting:
            self._turns.append(name)
        provider.waiting.append((self._clock(), prepared))
        self._number += 1

    def take(self) -> Prepared | None:
        """Return the next whose provider may be sent one more now, each provider in its turn."""
        for _ in range(len(self._turns)):
            name = self._turns.popleft()
            provider = self._providers[name]
            if not self._may_go(provider):
                self._turns.append(name)
                continue
            _, prepared = provider.waiting.popleft()
            provider.in_hand += 1
            self._number -= 1
            if provider.waiting:
                self._turns.append(name)
            return prepared
        return None

    def done(self, prepared: Prepared) -> None:
        """What was taken is settled, or given back."""
        provider = self._providers[prepared.claimed.provider]
        provider.in_hand -= 1
        if not provider.in_hand and not provider.waiting and not provider.failing:
            del self._providers[prepared.claimed.provider]  # there are many small ones

    def clear(self) -> list[Claimed]:
        """Give up all that waits."""
        return [claimed for name in list(self._turns) for claimed in self.clear_provider(name)]

    def clear_provider(self, name: str) -> list[Claimed]:
        """Give up all that waits for one provider."""
        return self._clear(name, self._clock())

    def stale(self, seconds: float) -> list[Claimed]:
        """Give up what has waited longer than that for its provider."""
        before = self._clock() - seconds
        return [claimed for name in list(self._turns) for claimed in self._clear(name, before)]

    def crowded(self, speed_of: Callable[[str], float]) -> dict[str, float]:
        """Return the providers that nothing more should be claimed for now, with their speeds."""
        found = {}
        for name, provider in self._providers.items():
            speed = speed_of(name)
            enough = max(_ENOUGH, speed * _ENOUGH_SECONDS)
            tried = provider.failing and (provider.in_hand or provider.waiting)
            if tried or len(provider.waiting) >= enough:
                found[name] = speed
        return found

    def __len__(self) -> int:
        return self._number

    def _may_go(self, provider: _Provider) -> bool:
        most = 1 if provider.failing else self._connections
        return provider.in_hand < most and (provider.bucket is None or provider.bucket.take())

    def _clear(self, name: str, until: float) -> list[Claimed]:
        provider = self._providers.get(name)
        gone: list[Claimed] = []
        while provider and provider.waiting and provider.waiting[0][0] <= until:
            gone.append(provider.waiting.popleft()[1].claimed)
        if provider and gone and not provider.waiting:
            self._turns.remove(name)
        self._number -= len(gone)
        return gone

    @staticmethod
    def _set_rate(provider: _Provider, rate: float | None) -> None:
        if rate is None:
            provider.bucket = None
        elif provider.bucket is None:
            provider.bucket = Bucket(rate)
        else:
            provider.bucket.rate = rate
