"""When a feed is read next, and when a broken one is worth an operator's eye."""

from __future__ import annotations

from datetime import datetime, timedelta

READ_EVERY = timedelta(minutes=30)
"""A feed holds its newest entries only: who reads it once a week misses most of them."""

NOT_AGAIN_WITHIN = timedelta(minutes=1)
"""Two digests at the same time read a feed once."""

_FIRST_WAIT = timedelta(minutes=5)
_LONGEST_WAIT = timedelta(hours=12)
_BROKEN_AFTER = timedelta(days=1)


def wait_after_failures(failures: int, asked_for: timedelta | None = None) -> timedelta:
    """Return how long a feed is left alone after so many failures one after the other.

    Twice as long each time, 12 hours at most; longer where the site asks for it.
    """
    doubled = _FIRST_WAIT * (1 << min(max(failures, 1) - 1, 10))
    return max(min(doubled, _LONGEST_WAIT), asked_for or timedelta())


def is_broken(failing_since: datetime | None, now: datetime) -> bool:
    """Say whether a feed has failed for so long that it will not mend by itself."""
    return failing_since is not None and now - failing_since >= _BROKEN_AFTER
