"""When a recurring rule is due: cron expressions in a time zone, right across clock changes."""

from __future__ import annotations

from datetime import UTC, datetime
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
    if len(cron.split()) != 5:
        raise BadSchedule(_FIVE_FIELDS.format(cron=cron[:80]))
    try:
        return next(
            moment
            for moment in (found.astimezone(UTC) for found in CronSim(cron, local))
            if moment > after
        )
    except CronSimError:
        raise BadSchedule(_FIVE_FIELDS.format(cron=cron[:80])) from None
    except StopIteration:
        raise BadSchedule(f"“{cron}” never comes: choose a date that exists.") from None
