"""Relays and what they have taught us; kept here so that no restart forgets a back-off."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, delete, or_, select, update
from sqlalchemy.orm import Session

from mailer.domain.deliveries import Lane
from mailer.domain.pace import allowed, ceiling, slowed
from mailer.domain.relays import RelayKind, RelayUse
from mailer.domain.replies import masked
from mailer.domain.retry import provider_back_off, relay_back_off
from mailer.domain.routes import Route, Standing
from mailer.store.clock import DatabaseTime
from mailer.store.models import ProviderHold, Relay, RelayDay, RelayState
from mailer.store.once import insert_into, insert_once

DEFAULT_RELAY = "default"
ITSELF = "*"
"""The provider under which a relay's own trouble is kept."""

_PROBE_LASTS = timedelta(seconds=60)


def default_relay(session: Session) -> int:
    """Return the id of the relay from the settings; the row is made at first use."""
    found = select(Relay.id).where(Relay.name == DEFAULT_RELAY)
    known = session.scalar(found)
    if known is not None:
        return known
    row = {"name": DEFAULT_RELAY, "url": "", "kind": RelayKind.QUEUEING.value}
    insert_once(session, Relay, {**row, "preference": 0, "use": RelayUse.ACTIVE.value})
    return session.scalars(found).one()


def point_default_at(session: Session, endpoint: str, kind: RelayKind) -> None:
    """Note where the relay from the settings is; another one does not inherit its troubles."""
    relay = session.get_one(Relay, default_relay(session), with_for_update=True)
    if (relay.url, relay.kind) != (endpoint, kind.value):
        relay.url, relay.kind = endpoint, kind.value
        session.execute(delete(RelayState).where(RelayState.relay_id == relay.id))


class RelayRow(NamedTuple):
    """A relay as it stands now."""

    id: int
    name: str
    url: str
    sealed_password: str | None
    kind: str
    newsletter_id: int | None
    lane: int | None
    preference: int
    use: str
    warm_up_first: int | None
    warm_up_growth: float | None
    warm_up_since: datetime | None
    failures: int | None
    left_alone: bool | None
    probed_by: str | None  # while that worker's probe is under way
    rate: float | None
    slowed_at: datetime | None
    reason: str | None
    back_off_until: datetime | None
    taken: int | None  # today, where it is warming up

    def left_today(self, now: datetime) -> int | None:
        """Return how many mails it may still be given today; None: no ceiling."""
        if self.warm_up_first is None or self.warm_up_since is None:
            return None
        days = (now.date() - self.warm_up_since.date()).days
        most = ceiling(self.warm_up_first, self.warm_up_growth or 1.0, days)
        return max(most - (self.taken or 0), 0)

    def standing(self, now: datetime, worker: str) -> Standing:
        """Return whether it may be given mail by this worker."""
        probed = self.probed_by not in (None, worker)
        full = self.left_today(now) == 0
        if self.use != RelayUse.ACTIVE or self.left_alone or probed or full:
            return Standing.CLOSED
        return Standing.ON_PROBATION if self.failures else Standing.WORKS

    def route(self, now: datetime, worker: str) -> Route:
        """Return what it is for, and how it stands."""
        lane = None if self.lane is None else Lane(self.lane)
        standing = self.standing(now, worker)
        return Route(self.id, self.newsletter_id, lane, self.preference, standing)

    def allowed_rate(self, now: datetime) -> float | None:
        """Return how fast (mails/s, all workers together) it may be sent to, as it has taught."""
        return allowed(self.rate, self.slowed_at, now)


def relay_rows(session: Session, *, now: datetime) -> list[RelayRow]:
    """Return all relays with their own state, by id."""
    return [RelayRow(*row) for row in session.execute(_relay_rows(), {"day": day_of(now)})]


def alone_with(session: Session, relay_id: int, *, now: datetime) -> RelayRow:
    """Return one relay when no other worker is at it; none will be until the transaction ends."""
    session.get_one(Relay, relay_id, with_for_update=True)
    return next(row for row in relay_rows(session, now=now) if row.id == relay_id)


def is_in_use(session: Session, relay_id: int) -> bool:
    """Say whether the relay is there now, and is neither paused nor drained."""
    active = Relay.use == RelayUse.ACTIVE.value
    return session.scalar(select(Relay.id).where(Relay.id == relay_id, active)) is not None


@cache
def _relay_rows() -> Select[*tuple[Any, ...]]:
    state = and_(RelayState.relay_id == Relay.id, RelayState.provider == ITSELF)
    today = and_(RelayDay.relay_id == Relay.id, RelayDay.day == bindparam("day"))
    columns: list[Any] = [
        *(getattr(Relay, name) for name in RelayRow._fields[:12]),
        RelayState.failures,
        RelayState.back_off_until > DatabaseTime(),
        _probed_by(),
        RelayState.rate,
        RelayState.slowed_at,
        RelayState.reason,
        RelayState.back_off_until,
        RelayDay.taken,
    ]
    joined = select(*columns).outerjoin(RelayState, state).outerjoin(RelayDay, today)
    return joined.order_by(Relay.id)


def _probed_by() -> ColumnElement[str | None]:
    """Return whose probe is under way; a worker that died with one is not waited for."""
    return case((RelayState.probed_until > DatabaseTime(), RelayState.probed_by))


class ProviderRow(NamedTuple):
    """A receiving provider that has turned us away, as it stands now at one relay."""

    provider: str
    failures: int
    left_alone: bool | None
    probed_by: str | None  # while that worker's probe is under way
    rate: float | None
    slowed_at: datetime | None
    back_off_until: datetime | None

    def allowed_rate(self, now: datetime) -> float | None:
        """Return how fast (mails/s, all workers together) it may be sent to."""
        return allowed(self.rate, self.slowed_at, now)


def provider_rows(session: Session, relay_id: int) -> list[ProviderRow]:
    """Return the receiving providers that have turned us away at this relay."""
    statement = select(
        RelayState.provider,
        RelayState.failures,
        RelayState.back_off_until > DatabaseTime(),
        _probed_by(),
        RelayState.rate,
        RelayState.slowed_at,
        RelayState.back_off_until,
    ).where(RelayState.relay_id == relay_id, RelayState.provider != ITSELF)
    statement = statement.order_by(RelayState.provider)
    return [ProviderRow(*row) for row in session.execute(statement)]


def held_providers(session: Session) -> list[str]:
    """Return the providers that an operator wants to send nothing to."""
    return list(session.scalars(select(ProviderHold.provider)))


def take_probe(session: Session, relay_id: int, provider: str, worker: str) -> bool:
    """Let this worker, and no other, try what has failed with one mail; say whether it may."""
    free = or_(
        RelayState.probed_until.is_(None),
        RelayState.probed_until <= DatabaseTime(),
        RelayState.probed_by == worker,
    )
    lasts = DatabaseTime(_PROBE_LASTS.total_seconds())
    mine = and_(RelayState.relay_id == relay_id, RelayState.provider == provider)
    statement = update(RelayState).where(mine, free).values(probed_until=lasts, probed_by=worker)
    return session.connection().execute(statement).rowcount > 0


def leave_probe(session: Session, relay_id: int) -> None:
    """Let another worker try a relay: there was no mail to try it with."""
    mine = and_(RelayState.relay_id == relay_id, RelayState.provider == ITSELF)
    session.execute(update(RelayState).where(mine).values(probed_until=None, probed_by=None))


def back_off(
    session: Session,
    relay_id: int,
    reason: str,
    *,
    now: datetime,
    provider: str = ITSELF,
    speed: float | None = None,
) -> timedelta:
    """Leave a relay, or a provider behind it, alone for a while; return how long.

    Longer after every failure in a row. With `speed` (mails/s of all workers), that was too fast,
    and it goes on more slowly afterwards.
    """
    key = {"relay_id": relay_id, "provider": provider}
    if session.get(Relay, relay_id) is None:
        return timedelta()  # it was removed meanwhile
    insert_once(session, RelayState, {**key, "failures": 0, "reason": ""})
    state = session.get_one(RelayState, key, with_for_update=True)
    already = state.back_off_until is not None and state.back_off_until > now
    if not already:  # many connections fail at once: that is one failure
        state.failures += 1
        longer = relay_back_off if provider == ITSELF else provider_back_off
        state.back_off_until = now + longer(state.failures)
        if speed is not None:
            before = allowed(state.rate, state.slowed_at, now)
            state.rate = slowed(speed if before is None else min(speed, before))
            state.slowed_at = state.back_off_until
    state.reason = masked(reason)
    state.probed_until = state.probed_by = None
    assert state.back_off_until is not None
    return state.back_off_until - now


def recovered(session: Session, relay_id: int, provider: str = ITSELF) -> None:
    """Forget the failures of what works again; how fast it may be sent to stays."""
    state = session.get(RelayState, {"relay_id": relay_id, "provider": provider})
    if state is not None and state.failures:
        state.failures, state.back_off_until, state.reason = 0, None, ""
        state.probed_until = state.probed_by = None


def troubles(session: Session) -> list[tuple[str, str, datetime]]:
    """Return name, reason and end of every back-off, for people."""
    rows = session.execute(
        select(Relay.name, RelayState.provider, RelayState.reason, RelayState.back_off_until)
        .join(RelayState, RelayState.relay_id == Relay.id)
        .where(RelayState.back_off_until.is_not(None))
    )
    return [
        (name if provider == ITSELF else f"{name} for {provider}", reason, until)
        for name, provider, reason, until in rows
        if until is not None
    ]


def take_from_today(session: Session, relay_id: int, number: int, *, now: datetime) -> None:
    """Count what a relay that is warming up is given."""
    row = {"relay_id": relay_id, "day": day_of(now), "taken": number}
    more = RelayDay.taken + number
    keys = ["relay_id", "day"]
    statement = insert_into(session, RelayDay).values(row)
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_={"taken": more}))


def give_back_to_day(session: Session, relay_id: int, day: int, number: int) -> None:
    """Count no more what it was not given after all on that day (`day_of`)."""
    that_day = and_(RelayDay.relay_id == relay_id, RelayDay.day == day)
    enough = RelayDay.taken >= number
    session.execute(update(RelayDay).where(that_day, enough).values(taken=RelayDay.taken - number))


def day_of(now: datetime) -> int:
    """Return the day (UTC) as a number, such as 20261124."""
    return now.year * 10_000 + now.month * 100 + now.day
