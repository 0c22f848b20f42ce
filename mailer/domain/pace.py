"""How fast a relay or a receiving provider may be sent to, after it has said that it was too fast.

The speed is halved, and grows by a tenth of that every minute; after half an hour the limit is
forgotten. So nothing has to be written while it grows, and no restart forgets it.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

_HALF = 0.5
_SLOWEST = 1.0
_GROWTH_A_MINUTE = 0.1
_FORGOTTEN_AFTER = timedelta(minutes=30)


NO_CEILING = 1_000_000_000
"""Mails a day that no warm-up grows beyond."""


def slowed(speed: float) -> float:
    """Return how fast (mails/s) to go on with, from how fast it was when it was too fast."""
    return max(speed * _HALF, _SLOWEST)


def allowed(rate: float | None, since: datetime | None, now: datetime) -> float | None:
    """Return how fast (mails/s) one may go now; None: as fast as one likes.

    `since` is the moment from which the rate grows: when the relay is used again.
    """
    if rate is None or since is None or now - since > _FORGOTTEN_AFTER:
        return None
    minutes = max((now - since).total_seconds(), 0.0) / 60
    return rate * (1 + _GROWTH_A_MINUTE * minutes)


def share_of_total(total: int, place: int, of: int) -> int:
    """Return one worker's part of a total that `of` workers share; all parts make the total."""
    return total // of + (place < total % of)


def ceiling(first: int, growth: float, days: int) -> int:
    """Return how many mails a relay may be given on its `days`-th day of warming up (0, 1, …).

    >>> [ceiling(500, 2.0, day) for day in range(4)]
    [500, 1000, 2000, 4000]
    """
    if days * math.log(growth) > math.log(NO_CEILING):
        return NO_CEILING
    return min(int(first * growth**days), NO_CEILING)
