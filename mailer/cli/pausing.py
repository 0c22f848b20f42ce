"""The pause between two batches of a command that changes much."""

from __future__ import annotations

import time

_SECONDS = 0.005


def let_others_write() -> None:
    """Leave SQLite's lock to others: who waits for it tries about every millisecond."""
    time.sleep(_SECONDS)
