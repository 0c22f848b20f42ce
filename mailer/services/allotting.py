"""What one relay's line is given at a look at the database: its mails, and its share of limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.deliveries import Lane
from mailer.domain.pace import share_of_total
from mailer.domain.relays import RelayConfig, RelayKind
from mailer.domain.routes import Route, Share, share_of
from mailer.services.alive import place_among_senders
from mailer.services.waiting import ProviderPace
from mailer.store.ledger import OF_NO_CAMPAIGN, Claimed, Source, claim, put_off, sources
from mailer.store.models import Newsletter
from mailer.store.relays import (
    ITSELF,
    RelayRow,
    alone_with,
    held_providers,
    leave_probe,
    provider_rows,
    relay_rows,
    take_from_today,
    take_probe,
)

_HELD_FOR, _PROBED_FOR = 3600.0, 20.0
_MOST_PUT_OFF = 5_000
_MOST_WALKED = 10_000
"""Behind so many due mails for a crowded provider the others are put off: no claim walks far."""
_LONGEST = 600.0


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
    providers: dict[str, ProviderPace] = field(default_factory=dict)
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
    if row is None or place.part(request.config.max_connections) == 0:
        return Allotment(place=place)
    if row.warm_up_first is not None:
        row = alone_with(session, row.id, now=now)  # or two workers take the same rest of the day
    routes = [each.route(now, request.worker) for each in rows]
    among, limit = _what_it_takes(session, request, row, routes, now)
    probing = bool(row.failures)
    if not among or (probing and not take_probe(session, row.id, ITSELF, request.worker)):
        return Allotment(place=place)
    providers = _Providers(session, request, place, now)
    moved = providers.put_off(among)
    batch = claim(
        session.connection(), worker=request.worker, limit=limit, lease=request.lease,
        among=among, blocked=providers.blocked,
    )  # fmt: skip
    providers.leave_unused_probes(batch)
    if probing and not batch:
        leave_probe(session, row.id, ITSELF)
    if row.warm_up_first is not None and batch:
        take_from_today(session, row.id, len(batch), now=now)
    return Allotment(
        batch, probing, place, row.allowed_rate(now), providers.paces, look_again=moved > 0
    )


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
        self._relay_id = request.relay_id
        self._probes: set[str] = set()
        self.paces: dict[str, ProviderPace] = {}
        self._crowded = request.crowded
        self._held: dict[str, float] = {}  # for how many seconds
        if request.config.kind is RelayKind.DIRECT:
            for row in provider_rows(session, request.relay_id):
                rate = place.rate(row.allowed_rate(now))
                self.paces[row.provider] = ProviderPace(bool(row.failures), rate)
                if row.left_alone and row.back_off_until is not None:
                    seconds = (row.back_off_until - now).total_seconds()
                    # Not for longer: another relay, to which it may listen, may have its turn then.
                    self._held[row.provider] = min(max(seconds, 1.0), _LONGEST)
                elif row.failures and row.provider not in request.crowded:
                    self._probe(row.provider, request.worker)
        self._held.update(dict.fromkeys(held_providers(session), _HELD_FOR))

    @property
    def blocked(self) -> set[str]:
        """Those for whom nothing is claimed."""
        return {*self._held, *self._crowded}

    def put_off(self, among: Sequence[Source]) -> int:
        """Put off what is due for them, a chunk at a time; return how many mails."""
        connection, moved = self._session.connection(), 0
        for source in among if self.blocked else ():
            moved += put_off(connection, source, self._held, limit=_MOST_PUT_OFF)
            for provider, speed in self._crowded.items():
                seconds = min(_MOST_WALKED / max(speed, 0.1), _LONGEST)
                moved += put_off(
                    connection, source, {provider: seconds}, limit=_MOST_PUT_OFF, skip=_MOST_WALKED
                )
        return moved

    def leave_unused_probes(self, batch: Sequence[Claimed]) -> None:
        """Let other workers try the providers for which there was no mail."""
        for provider in self._probes - {claimed.provider for claimed in batch}:
            leave_probe(self._session, self._relay_id, provider)

    def _probe(self, provider: str, worker: str) -> None:
        if take_probe(self._session, self._relay_id, provider, worker):
            self._probes.add(provider)
        else:
            self._held[provider] = _PROBED_FOR
