"""A rate that is not exceeded: a bucket of tokens, one for every mail."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """Gives out `rate` tokens a second, and never more than a tenth of a second's at once."""

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._filled_at = clock()
        self._tokens = 1.0
        self.rate = rate
        """Tokens a second; may be changed at any time."""

    def take(self) -> bool:
        """Take a token if there is one."""
        now = self._clock()
        self._tokens += (now - self._filled_at) * self.rate
        self._tokens = min(self._tokens, max(1.0, self.rate / 10))
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    @property
    def wait(self) -> float:
        """Seconds until the next token at the earliest."""
        return max(1.0 - self._tokens, 0.0) / self.rate
