"""What one relay's line is given at a look at the database: its mails, and its share of limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.deliveries import Lane
from mailer.domain.pace import share_of_total
from mailer.domain.relays import RelayConfig, RelayKind
from mailer.domain.routes import Route, Share, share_of
from mailer.services.delivery.waiting import ProviderPace
from mailer.services.installation.alive import place_among_senders
from mailer.store.ledger import (
    OF_NO_CAMPAIGN,
    Claimed,
    Source,
    claim,
    hand_back,
    put_off,
    sources,
)
from mailer.store.models import Newsletter
from mailer.store.relays import (
    ITSELF,
    RelayRow,
    alone_with,
    held_providers,
    is_in_use,
    leave_probe,
    provider_rows,
    relay_rows,
    take_from_today,
    take_probe,
)

_HELD_FOR, _PROBED_FOR, _LEFT_ALONE_FOR, _CROWDED_FOR = 3600.0, 20.0, 600.0, 60.0
"""Seconds for which mails are put off at most: then things may have changed, and they are put off
again if they have not."""
_MOST_PUT_OFF = 5_000
_MOST_WALKED = 10_000
"""Behind so many due mails for a crowded provider the others are put off: no claim walks far."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which of the workers that send this one is: of what all share, it has its part."""

    number: int = 0
    of: int = 1

    def part(self, total: int | None) -> int | None:
        """Return this worker's part of a number."""
        return None if total is None else share_of_total(total, self.number, self.of)

    def rate(self, *rates: float | None) -> float | None:
        """Return this worker's part of the smallest of the rates that are given."""
        given = [rate for rate in rates if rate is not None]
        return min(given) / self.of if given else None


@dataclass(frozen=True, slots=True)
class Allotment:
    """Mails that are leased to this worker for one relay, and how fast they may go."""

    batch: Sequence[Claimed] = ()
    probing: bool = False  # one mail, whose fate is to be awaited
    place: Place = Place()
    rate: float | None = None  # the relay's, learned; of all workers
    providers: dict[str, ProviderPace] | None = None  # None: as before
    tried: frozenset[str] = frozenset()  # providers that failed, and get one mail now
    look_again: bool = False  # much was put off, and something else may be behind it


@dataclass(frozen=True, slots=True)
class Request:
    """What a line asks for."""

    relay_id: int
    config: RelayConfig
    worker: str
    limit: int
    lease: timedelta
    crowded: Mapping[str, float] = field(default_factory=dict)
    """Receiving providers that this line has enough for, and how fast (mails/s) they are."""


def allot(session: Session, request: Request, *, now: datetime) -> Allotment:
    """Lease what this relay is to send next, in the caller's transaction."""
    rows = relay_rows(session, now=now)
    row = next((each for each in rows if each.id == request.relay_id), None)
    place = Place(*place_among_senders(session, request.worker))
    if row is None:
        return Allotment(place=place)
    nothing = Allotment(place=place, rate=row.allowed_rate(now))
    if place.part(request.config.max_connections) == 0:
        return nothing
    if row.warm_up_first is not None:
        row = alone_with(session, row.id, now=now)  # or two workers take the same rest of the day
    routes = [each.route(now, request.worker) for each in rows]
    among, limit = _what_it_takes(session, request, row, routes, now)
    probing = bool(row.failures)
    if not among or (probing and not take_probe(session, row.id, ITSELF, request.worker)):
        return nothing
    providers = _Providers(session, request, place, now)
    moved = providers.put_off(among)
    claimed = claim(
        session.connection(), worker=request.worker, limit=limit, lease=request.lease,
        among=among, blocked=providers.blocked,
    )  # fmt: skip
    if claimed and not is_in_use(session, row.id):
        hand_back(session.connection(), claimed)  # removed or paused since we looked
        claimed = []
    batch, tried = providers.without_those_of_others(claimed)
    if probing and not batch:
        leave_probe(session, row.id)
    if row.warm_up_first is not None and batch:
        take_from_today(session, row.id, len(batch), now=now)
    return replace(
        nothing, batch=batch, probing=probing, providers=providers.paces, tried=tried,
        look_again=moved > 0,
    )  # fmt: skip


def _what_it_takes(
    session: Session, request: Request, row: RelayRow, routes: Sequence[Route], now: datetime
) -> tuple[list[Source], int]:
    """Return the sources of which this relay is to take something, and how many mails at most."""
    taken: dict[Share, list[Source]] = {share: [] for share in Share}
    for source in _by_newsletter(session, routes):
        if source.newsletter_id is None:  # no relay is for one newsletter: any number will do
            share = share_of(row.id, routes, 0, Lane(source.lane))
        else:
            share = share_of(row.id, routes, source.newsletter_id, Lane(source.lane))
        taken[share].append(source)
    limit = request.limit if taken[Share.ALL] else 1
    left = row.left_today(now)
    return taken[Share.ALL] or taken[Share.ONE], limit if left is None else min(limit, left)


def _by_newsletter(session: Session, routes: Sequence[Route]) -> list[Source]:
    """Return the sources; what belongs to no campaign, by newsletter where relays differ in it."""
    found = sources(session.connection())
    if all(route.newsletter_id is None for route in routes):
        return found
    newsletters = session.scalars(select(Newsletter.id))
    parts = [OF_NO_CAMPAIGN._replace(newsletter_id=each) for each in newsletters]
    return [*parts, *found[1:]]


class _Providers:
    """The receiving providers that are sent nothing now, or slowly."""

    def __init__(self, session: Session, request: Request, place: Place, now: datetime) -> None:
        self._session = session
        self._request = request
        self._failing: set[str] = set()  # and to be tried
        self._held: dict[str, float] = {}  # for how many seconds
        self.paces: dict[str, ProviderPace] = {}
        direct = request.config.kind is RelayKind.DIRECT
        for row in provider_rows(session, request.relay_id) if direct else ():
            rate = place.rate(row.allowed_rate(now))
            self.paces[row.provider] = ProviderPace(bool(row.failures), rate)
            if row.left_alone and row.back_off_until is not None:
                # Not for longer: another relay, to which it may listen, may have its turn then.
                seconds = (row.back_off_until - now).total_seconds()
                self._held[row.provider] = min(max(seconds, 1.0), _LEFT_ALONE_FOR)
            elif row.failures and row.probed_by not in (None, request.worker):
                self._held[row.provider] = _PROBED_FOR
            elif row.failures:
                self._failing.add(row.provider)
        self._held.update(dict.fromkeys(held_providers(session), _HELD_FOR))

    @property
    def blocked(self) -> set[str]:
        """Those for whom nothing is claimed."""
        return {*self._held, *self._request.crowded}

    def put_off(self, among: Sequence[Source]) -> int:
        """Put off what is due for them, a chunk at a time; return how many mails."""
        connection, moved = self._session.connection(), 0
        for source in among if self.blocked else ():
            moved += put_off(connection, source, self._held, limit=_MOST_PUT_OFF)
            for provider, speed in self._request.crowded.items():
                if speed < 1.0:
                    continue  # nobody knows yet when it will have taken what is before
                held = {provider: min(_MOST_WALKED / speed, _CROWDED_FOR)}
                moved += put_off(connection, source, held, limit=_MOST_PUT_OFF, skip=_MOST_WALKED)
        return moved

    def without_those_of_others(
        self, claimed: Sequence[Claimed]
    ) -> tuple[list[Claimed], frozenset[str]]:
        """Return what is left when others try a provider, and the providers that we try."""
        asked = sorted({each.provider for each in claimed} & self._failing)
        ours = frozenset(
            provider
            for provider in asked
            if take_probe(self._session, self._request.relay_id, provider, self._request.worker)
        )
        theirs = [each for each in claimed if each.provider in asked and each.provider not in ours]
        hand_back(self._session.connection(), theirs)
        return [each for each in claimed if each not in theirs] if theirs else list(claimed), ours
