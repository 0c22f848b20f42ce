"""Speeds: one that is not exceeded, and one that is measured."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

_WINDOW_SECONDS = 10.0


class Bucket:
    """Gives out `rate` tokens a second, and never more than a tenth of a second's at once."""

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._filled_at = clock()
        self._tokens = 1.0
        self.rate = rate
        """Tokens a second; may be changed at any time."""

    def fill(self) -> bool:
        """Say whether there is a token."""
        now = self._clock()
        self._tokens += (now - self._filled_at) * self.rate
        self._tokens = min(self._tokens, max(1.0, self.rate / 10))
        self._filled_at = now
        return self._tokens >= 1.0

    def take(self) -> bool:
        """Take a token if there is one."""
        if not self.fill():
            return False
        self._tokens -= 1.0
        return True

    @property
    def wait(self) -> float:
        """Seconds until the next token at the earliest."""
        return max(1.0 - self._tokens, 0.0) / self.rate


class Speed:
    """How many mails a second relays have taken lately, by receiving provider."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._now: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        self._seconds_before = 0.0

    def took(self, provider: str) -> None:
        """Count one mail."""
        self._turn()
        self._now[provider] += 1

    def of(self, provider: str | None = None) -> float:
        """Return mails per second to one provider, or to all."""
        self._turn()
        both = self._now, self._before
        found = sum(each.total() if provider is None else each[provider] for each in both)
        return found / max(self._seconds_before + self._clock() - self._since, 1.0)

    def _turn(self) -> None:
        now = self._clock()
        if now - self._since < _WINDOW_SECONDS:
            return
        recent = now - self._since < 2 * _WINDOW_SECONDS
        self._before = self._now if recent else Counter()
        self._now, self._since, self._seconds_before = Counter(), now, _WINDOW_SECONDS
