"""When something is due: cron expressions and clock times in a zone, right across clock changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from mailer.domain.errors import Refusal


class BadSchedule(Refusal):
    """The cron expression or the time zone cannot be understood."""


_FIVE_FIELDS = (
    "“{cron}” is not a cron expression of days that exist: write five fields, such as "
    "“0 7 * * FRI” for Fridays at 07:00."
)


def zone(name: str) -> ZoneInfo:
    """Return the IANA time zone; raises BadSchedule with one sentence."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSchedule(
            f"“{name}” is not a time zone: use a name such as Africa/Lagos or Europe/Paris."
        ) from None


def next_run(cron: str, timezone: str, after: datetime) -> datetime:
    """Return the first time after `after` (aware) at which the rule is due, in UTC.

    A time that a clock change skips or repeats is due once (cronsim's rule, as Debian cron's): in
    the hour that comes twice, cronsim names the first of the two, which may have passed.
    """
    local = after.astimezone(zone(timezone))
    return next(
        moment
        for moment in (found.astimezone(UTC) for found in _runs(cron, local))
        if moment > after
    )


class LocalRun(NamedTuple):
    """A run that comes to every reader when the reader's own clock shows the same time."""

    wall: datetime
    """What the clocks show; it has no zone."""
    at: datetime
    """When the first of them does, in UTC."""


def next_local_run(
    cron: str, timezone: str, readers_zones: Iterable[str], after: datetime
) -> LocalRun:
    """Return the next run of a rule in every reader's own time: the first that nobody has begun.

    Readers whose zone is not known live in `timezone`.
    """
    zones = {timezone, *readers_zones}
    earliest = min(after.astimezone(zone(name)).replace(tzinfo=None) for name in zones)
    for wall in _runs(cron, earliest):
        first = first_moment(wall, zones)
        if first > after:
            return LocalRun(wall, first)
    raise AssertionError("a rule runs again and again")


def moment_in(timezone: str, wall: datetime) -> datetime:
    """Return when the clocks of a zone show this time, in UTC.

    A time that they show twice is the first of the two; one that they skip is as long after the
    change as it would be after the hour that is missing.
    """
    return wall.replace(tzinfo=zone(timezone), fold=0).astimezone(UTC)


def first_moment(wall: datetime, zones: Iterable[str]) -> datetime:
    """Return when the clocks of the first of these zones show this time, in UTC."""
    return min(moment_in(name, wall) for name in zones)


def _runs(cron: str, after: datetime) -> Iterator[datetime]:
    if len(cron.split()) != 5:
        raise BadSchedule(_FIVE_FIELDS.format(cron=cron[:80]))
    try:
        yield from CronSim(cron, after)
    except CronSimError:
        raise BadSchedule(_FIVE_FIELDS.format(cron=cron[:80])) from None
    raise BadSchedule(f"“{cron}” never comes: choose a date that exists.")
