"""Points in time as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mailer.domain.errors import Refusal
from mailer.domain.schedule import zone

_LONGEST = timedelta(days=7)
_FIRST_YEAR = 1970  # as in imports: nobody has said anything by mail before


class BadTime(Refusal):
    """The text is no point in time that lies ahead."""


def parse_when(text: str, timezone: str, *, now: datetime) -> datetime:
    """Return the time ahead that `text` (ISO 8601) names, in UTC; without an offset: local there.

    Raises BadTime for what is no time, or is over.
    """
    try:
        named = datetime.fromisoformat(text.strip())
        at = (named if named.tzinfo else named.replace(tzinfo=zone(timezone))).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadTime(
            f"“{text}” is not a time: write it like 2026-12-24T07:00 (in {timezone}) "
            "or 2026-12-24T07:00+01:00."
        ) from None
    if at <= now:
        raise BadTime(f"“{text}” is over already: give a time that lies ahead.")
    return at


def parse_wall(text: str) -> datetime:
    """Return the clock time that `text` (ISO 8601) names, without a zone; raises BadTime."""
    try:
        wall = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadTime(f"“{text}” is not a time: write it like 2026-12-24T07:00.") from None
    if wall.tzinfo is not None:
        raise BadTime(
            f"“{text}” names one moment, and readers' own time comes at many: leave the offset out."
        )
    return wall


def parse_past(text: str, timezone: str, *, now: datetime) -> datetime:
    """Return the time gone by that `text` (ISO 8601, such as 2024-05-17) names, in UTC.

    Raises BadTime for what is no time, or lies ahead.
    """
    try:
        named = datetime.fromisoformat(text.strip())
        at = (named if named.tzinfo else named.replace(tzinfo=zone(timezone))).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadTime(
            f"“{text}” is not a date: write it like 2024-05-17 or 2024-05-17T14:30."
        ) from None
    if at > now:
        raise BadTime(f"“{text}” lies ahead: give the date when it was said.")
    if at.year < _FIRST_YEAR:
        raise BadTime(f"“{text}” lies before {_FIRST_YEAR}: give the date when it was said.")
    return at


_AGO = re.compile(r"([0-9]{1,5})([mhd])", re.ASCII)


def parse_since(text: str, *, now: datetime) -> datetime:
    """Return the time gone by that `2026-11-01`, an ISO 8601 time (UTC) or `30d` names."""
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        named = datetime.fromisoformat(text.strip())
        return (named if named.tzinfo else named.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadTime(
            f"“{text}” is no time gone by: write it like 2026-11-01, 2026-11-01T07:00+01:00 or 30d."
        ) from None


_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str, *, longest: timedelta = _LONGEST) -> timedelta:
    """Return the time that `90m`, `3h` or `1d` names; raises BadTime, also beyond `longest`."""
    number, unit = text.strip()[:-1], text.strip()[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdigit() and len(number) < 5):
        raise BadTime(f"“{text}” is no duration: write it like 90m, 3h or 1d.")
    length = timedelta(**{_UNITS[unit]: int(number)})
    if length > longest:
        raise BadTime(f"“{text}” is too long: {longest.days} days are the most.")
    return length
