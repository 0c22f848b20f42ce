"""Spans of time as the law counts them: in years, months or days by the calendar."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime, timedelta
from typing import NamedTuple

from mailer.domain.errors import Refusal


class BadSpan(Refusal):
    """The text is no span of time, or the calendar does not reach so far."""


class Span(NamedTuple):
    """Months and days; a year is twelve months."""

    months: int
    days: int

    def after(self, moment: datetime) -> datetime:
        """Return the end of a span that begins then; a month without that day ends on its last.

        Raises BadSpan.
        """
        year, month = divmod(moment.year * 12 + moment.month - 1 + self.months, 12)
        try:
            day = min(moment.day, monthrange(year, month + 1)[1])
            return moment.replace(year=year, month=month + 1, day=day) + timedelta(days=self.days)
        except (ValueError, OverflowError):
            raise BadSpan(f"“{self}” is too long.") from None

    def __str__(self) -> str:
        if not self.months:
            return f"{self.days}d"
        return f"{self.months // 12}y" if self.months % 12 == 0 else f"{self.months}mo"


_SPAN = re.compile(r"([1-9][0-9]{0,3})(d|mo|y)")


def parse_span(text: str) -> Span:
    """Return what `180d`, `6mo` or `2y` says; raises BadSpan."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise BadSpan(f"“{text}” is no span of time: write it like 180d, 6mo or 2y.")
    number = int(found[1])
    if found[2] == "d":
        return Span(0, number)
    return Span(number * (12 if found[2] == "y" else 1), 0)
