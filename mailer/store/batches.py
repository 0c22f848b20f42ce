"""Work on many rows, a batch in a transaction, so that nobody who wants to write waits long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from mailer.store.engine import Sessions

_SECONDS = 0.02
"""How long a batch is to hold SQLite's lock: nobody is to wait for more than 50 ms."""


class Batches:
    """How many rows the next transaction takes, by how long the one before took on this machine."""

    def __init__(
        self,
        first: int,
        *,
        least: int,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.size = first
        self._least = least
        self._most = most
        self._clock = clock

    @contextmanager
    def transaction(self, sessions: Sessions) -> Iterator[Session]:
        """Open the transaction of a batch of `size` rows."""
        with sessions.begin() as session:
            session.connection()  # waiting for the lock is no work of ours
            began = self._clock()
            yield session
        self._learn(self._clock() - began)

    def _learn(self, seconds: float) -> None:
        """Take so many as fit into the time; at most twice as many as before."""
        fit = int(self.size * _SECONDS / seconds) if seconds > 0 else self._most
        self.size = max(self._least, min(fit, 2 * self.size, self._most))
