"""Which relay takes a mail: the first in the order of preference that works.

A relay for one newsletter or one lane comes before a relay for all; among equals the smaller
preference comes first. A relay that has failed is not trusted before one mail has gone through:
the others go on to the next in the order meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mailer.domain.deliveries import Lane


class Standing(StrEnum):
    """Whether a relay may be given mail now."""

    WORKS = "works"
    ON_PROBATION = "on probation"  # it has failed, and may be given one mail to show that it works
    CLOSED = "closed"  # left alone, paused, draining, or full for today


class Share(StrEnum):
    """How much of some mail a relay is to take."""

    ALL = "all"
    ONE = "one"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Route:
    """What a relay is for, and how it stands. None means: any."""

    relay_id: int
    newsletter_id: int | None
    lane: Lane | None
    preference: int
    standing: Standing

    def leads(self, newsletter_id: int, lane: Lane) -> bool:
        """Say whether the relay is meant for such mail."""
        return self.newsletter_id in (None, newsletter_id) and self.lane in (None, lane)


def in_order(routes: Iterable[Route], newsletter_id: int, lane: Lane) -> list[Route]:
    """Return the relays for such mail, the preferred one first."""
    return sorted(
        (route for route in routes if route.leads(newsletter_id, lane)),
        key=lambda route: (
            route.newsletter_id is None,
            route.lane is None,
            route.preference,
            route.relay_id,
        ),
    )


def share_of(relay_id: int, routes: Sequence[Route], newsletter_id: int, lane: Lane) -> Share:
    """Return how much of such mail this relay is to take as everything stands now."""
    for route in in_order(routes, newsletter_id, lane):
        if route.relay_id == relay_id:
            return _SHARES[route.standing]
        if route.standing is Standing.WORKS:
            return Share.NONE
    return Share.NONE


_SHARES = {
    Standing.WORKS: Share.ALL,
    Standing.ON_PROBATION: Share.ONE,
    Standing.CLOSED: Share.NONE,
}
