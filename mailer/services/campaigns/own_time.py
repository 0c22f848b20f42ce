"""Readers' own time: one clock time, which comes at another moment in every zone.

To know the zones, all readers are looked at, which takes too long for a transaction that writes:
read them first, and hand them on.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.schedule import BadSchedule, first_moment, next_local_run, next_run, zone
from mailer.store.models import Digest, Newsletter, Subscriber


def readers_zones(session: Session) -> set[str]:
    """Return the time zones that readers live in, as far as they are known."""
    return set(filter(_is_known, session.scalars(select(Subscriber.timezone).distinct())))


def first_in_own_time(newsletter: Newsletter, wall: datetime, zones: Collection[str]) -> datetime:
    """Return when the first reader's clock shows the time `wall`; the newsletter's zone counts."""
    return first_moment(wall, {newsletter.timezone, *zones})


def zones_of_digest(session: Session, digest_id: int) -> set[str]:
    """Return the zones that count for a digest: none, where it does not follow its readers."""
    follows = session.scalar(select(Digest.reader_local_time).where(Digest.id == digest_id))
    return readers_zones(session) if follows else set()


def set_next_run(digest: Digest, zones: Collection[str], *, now: datetime) -> None:
    """Let the digest run next at its time, or when the first reader's clock shows that time."""
    if not digest.reader_local_time:
        digest.next_run_at = next_run(digest.cron, digest.timezone, now)
        digest.next_local_at = None
        return
    coming = next_local_run(digest.cron, digest.newsletter.timezone, zones, now)
    digest.next_run_at, digest.next_local_at = coming.at, coming.wall.isoformat()


def _is_known(name: str) -> bool:
    try:
        return bool(name and zone(name))
    except BadSchedule:
        return False
