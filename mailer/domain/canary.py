"""A canary: a sample of the audience gets the mail first, and what becomes of it is judged.

Shares are in millionths, so that they are compared exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from mailer.domain.errors import Refusal

_WHOLE = 1_000_000
_PERCENT = _WHOLE // 100
_PERCENT_TEXT = re.compile(r"(\d{1,3})(?:\.(\d{1,4}))? ?%", re.ASCII)
_NUMBER_TEXT = re.compile(r"[1-9]\d{0,8}", re.ASCII)

DEFERRED_LIMIT = 10 * _PERCENT
"""More of the sample than this still deferred after the wait: receivers slow us down. Well above
what greylisting leaves, whose second try has been made by then."""


class BadCanary(Refusal):
    """The sample, or its limit, cannot be understood."""


class CanaryState(StrEnum):
    """How far a campaign's sample has come."""

    ORDERED = "ordered"  # nobody is chosen yet
    TRYING = "trying"
    WAITING = "waiting"  # all of it have been tried
    HELD = "held"  # it did not go well, and a person must say how it goes on
    RELEASED = "released"  # everybody may get the mail
    ENDED = "ended"  # the campaign was cancelled or expired, and nobody else gets it


@dataclass(frozen=True, slots=True)
class CanaryOrder:
    """What was ordered: `size` readers or a `share` of the audience go first.

    The rest follows when `wait` has passed and no more than `limit` of the sample failed.
    """

    size: int | None
    share: int | None
    limit: int
    wait: timedelta

    def __str__(self) -> str:
        return str(self.size) if self.share is None else percent(self.share)

    def readers_of(self, audience: int) -> int:
        """Return how many go first: at least one, at most all."""
        wanted = self.size if self.share is None else -(-audience * self.share // _WHOLE)
        return min(max(wanted or 1, 1), audience)


@dataclass(frozen=True, slots=True)
class SampleOutcome:
    """What became of a sample: of the `tried`, so many failed or bounced, so many are deferred.

    Nobody knows of the `uncertain`, so that they speak neither for nor against it.
    """

    tried: int
    failed: int
    deferred: int
    uncertain: int

    def goes_well(self, limit: int) -> bool:
        """Say whether everybody may get the mail; a sample that tells nothing does not."""
        return (
            self.tried > 0
            and self.failed * _WHOLE <= limit * self.tried
            and self.deferred * _WHOLE <= DEFERRED_LIMIT * self.tried
        )

    def sentence(self, limit: int) -> str:
        """Say the numbers beside their limits."""
        if not self.tried:
            return "nobody of the sample could be sent the mail"
        return (
            f"the sample of {self.tried}: "
            f"{self.failed} failed or bounced ({self._of_tried(self.failed)}, "
            f"limit {percent(limit)}), "
            f"{self.deferred} deferred ({self._of_tried(self.deferred)}, "
            f"limit {percent(DEFERRED_LIMIT)}), {self.uncertain} uncertain"
        )

    def _of_tried(self, number: int) -> str:
        return f"{100 * number / self.tried:.1f}%"


def order_canary(text: str, limit: str, wait: timedelta) -> CanaryOrder:
    """Read `1%` or `500` (readers), and a limit such as `3%`; raises BadCanary."""
    allowed = _share(limit)
    if allowed is None or allowed >= _WHOLE:
        raise BadCanary(f"“{limit}” is no limit of a canary: write a share such as 3% or 0.5%.")
    share = _share(text)
    if share is not None and 0 < share < _WHOLE:
        return CanaryOrder(None, share, allowed, wait)
    if _NUMBER_TEXT.fullmatch(text.strip()):
        return CanaryOrder(int(text), None, allowed, wait)
    raise BadCanary(
        f"“{text}” is no sample: write a share of the audience such as 1%, or a number of readers "
        "such as 500."
    )


def percent(share: int) -> str:
    """Return a share as people write it."""
    return f"{share / _PERCENT:g}%"


def _share(text: str) -> int | None:
    found = _PERCENT_TEXT.fullmatch(text.strip())
    if found is None:
        return None
    return int(found[1]) * _PERCENT + int((found[2] or "").ljust(4, "0"))
