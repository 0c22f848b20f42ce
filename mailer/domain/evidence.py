"""What a relay's log proves about mails whose fate nobody knows.

That the log shows a mail as accepted proves it, whatever else the log lacks. That a mail is not in
the log proves something only if it is the whole log, of that very relay, over the time in question:
so the log must also show the mails that the relay took for sure, under the queue ids that it gave
us, and by a clock that agrees with ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import NamedTuple

MARGIN = timedelta(minutes=10)
"""How long a relay may take to answer a final dot (RFC 5321 §4.5.3.2.6), and how far its clock may
be off: so much more than the time in question a log must cover."""


class Said(StrEnum):
    """What a log says of one message."""

    ACCEPTED = "accepted"
    NOT_ACCEPTED = "not accepted"  # refused, or lost before its final dot
    SEEN = "seen"  # begun, and nobody knows how it ended


class Sighting(NamedTuple):
    """A message of ours in a relay's log, under the queue id that it has there."""

    said: Said
    queue_id: str
    at: datetime | None


class Span(NamedTuple):
    """From when until when a log's lines are."""

    first: datetime
    last: datetime


class Known(NamedTuple):
    """A mail that the relay took for sure, because it told us so."""

    queue_id: str
    at: datetime


class Doubt(NamedTuple):
    """A delivery that nobody knows the fate of; it was tried between these times, or never."""

    id: int
    period: int
    fence: int
    begin: datetime
    end: datetime


class Finding(NamedTuple):
    """What is to be thought of one doubt: said, under which queue id and when, or why nothing."""

    said: Said | None
    queue_id: str = ""
    at: datetime | None = None
    reason: str = ""


Sightings = Mapping[int, Mapping[str, Sighting]]
"""Delivery id → queue id → what the logs say."""


def weakness(sightings: Sightings, known: Mapping[int, Known], *, lines_lost: bool) -> str:
    """Return why what is missing in these logs proves nothing; empty where it does prove."""
    if lines_lost:
        return "the log itself says that lines were dropped"
    if not known:
        return "no mail that the relay surely took is there to compare the log with"
    found = {
        name: sighting
        for name, mail in known.items()
        if (sighting := sightings.get(name, {}).get(mail.queue_id)) is not None
        and sighting.said is Said.ACCEPTED
    }
    if len(found) < len(known):
        return (
            f"{len(known) - len(found)} of {len(known)} mails that the relay surely took are not "
            "in the log under its queue ids, so that it is not the whole log of that relay"
        )
    off = _off(found, known)
    if abs(off) > MARGIN:
        return (
            f"the log's times are off by {round(off.total_seconds() / 60)} minutes: give its time "
            "zone with --log-zone"
        )
    return ""


def judge(doubt: Doubt, sightings: Sightings, spans: Collection[Span], weak: str) -> Finding:
    """Return what the logs prove of one doubt."""
    seen = sightings.get(doubt.id, {}).values()
    for wanted in (Said.ACCEPTED, Said.SEEN):
        for sighting in seen:
            if sighting.said is wanted:
                reason = "" if wanted is Said.ACCEPTED else "begun, and not seen to be accepted"
                return Finding(wanted, sighting.queue_id, sighting.at, reason)
    if weak:
        return Finding(None, reason=weak)
    begin, end = doubt.begin - MARGIN, doubt.end + MARGIN
    if not any(span.first <= begin and end <= span.last for span in joined(spans)):
        return Finding(
            None, reason=f"the log does not cover {_utc(begin)} to {_utc(end)} without a gap"
        )
    for sighting in seen:
        return Finding(Said.NOT_ACCEPTED, sighting.queue_id, sighting.at, "refused, or cut off")
    return Finding(Said.NOT_ACCEPTED, reason="not in the log")


def joined(spans: Collection[Span]) -> list[Span]:
    """Return the spans with those made one that follow each other closely.

    A longer gap between two files may be a file that is missing.
    """
    whole: list[Span] = []
    for span in sorted(each for each in spans if each.first <= each.last):
        if whole and span.first <= whole[-1].last + MARGIN:
            whole[-1] = Span(whole[-1].first, max(whole[-1].last, span.last))
        else:
            whole.append(span)
    return whole


def _off(found: Mapping[int, Sighting], known: Mapping[int, Known]) -> timedelta:
    """Return how far the log's clock is from ours, going by the mail in the middle."""
    apart: Sequence[float] = [
        (sighting.at - known[name].at).total_seconds()
        for name, sighting in found.items()
        if sighting.at is not None
    ]
    return timedelta(seconds=median(apart)) if apart else MARGIN * 2


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
