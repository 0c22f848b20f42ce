"""Readers' own time: one clock time, which comes at another moment in every zone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.schedule import BadSchedule, first_moment, zone
from mailer.store.models import Newsletter, Subscriber


def readers_zones(session: Session) -> set[str]:
    """Return the time zones that readers live in; looks at all of them, so read with it alone."""
    return set(filter(_is_known, session.scalars(select(Subscriber.timezone).distinct())))


def first_in_own_time(newsletter: Newsletter, wall: datetime, zones: set[str]) -> datetime:
    """Return when the first reader's clock shows the time `wall`; the newsletter's zone counts."""
    return first_moment(wall, {newsletter.timezone, *zones})


def _is_known(name: str) -> bool:
    try:
        return bool(name and zone(name))
    except BadSchedule:
        return False
