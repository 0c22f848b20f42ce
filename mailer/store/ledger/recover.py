"""Recovering: what a dead worker left past the gate, and what ran out of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    and_,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.store.clock import Instant, Now, at
from mailer.store.models import attempt, delivery
from mailer.store.once import insert_into
from mailer.store.rowset import Rowset

_S = DeliveryState
_BATCH = 5_000
_KEYS = Rowset("found", {"period": Integer(), "id": BigInteger()})
_REPEATABLE = [kind.value for kind in DeliveryKind if kind.is_repeatable]
_DIED = "the worker died after the gate: nobody knows whether the relay took it"


def find_abandoned(session: Session, *, grace: timedelta, now: Now = None) -> list[tuple[int, int]]:
    """Return the keys of deliveries whose worker died past the gate, a batch at most.

    The look walks over all that is open, a second for a million: for a session that only reads.
    `grace` must exceed the relay's read timeout: until then a frozen worker's connection may still
    finish.
    """
    found = select(delivery.c.period, delivery.c.id).where(*_abandoned(grace, now)).limit(_BATCH)
    return [(row.period, row.id) for row in session.execute(found)]


def recover_abandoned(
    session: Session, found: Sequence[tuple[int, int]], *, grace: timedelta, now: Now = None
) -> int:
    """Settle those of the deliveries that still are abandoned; return how many became uncertain.

    Nobody can know whether the relay took them, so that they are `uncertain` and listed. What may
    be repeated goes back to the queue: its Message-ID is the same.
    """
    keys = _KEYS.table(session.get_bind().dialect.name)
    key = tuple_(delivery.c.period, delivery.c.id)
    abandoned = (key.in_(select(keys.c.period, keys.c.id)), *_abandoned(grace, now))
    parameters = _KEYS.parameters(found)
    connection = session.connection()
    connection.execute(
        update(delivery)
        .where(*abandoned, delivery.c.kind.in_(_REPEATABLE))
        .values(state=_S.QUEUED.value, next_at=at(now), lease_until=None, leased_by=None),
        parameters,
    )
    moment = at(now)
    noted = select(
        delivery.c.period, delivery.c.id, delivery.c.fence,
        literal(moment, Instant) if isinstance(moment, datetime) else moment,
        literal(""), literal(_S.UNCERTAIN.value), literal("gate"), literal(_DIED),
    ).where(*abandoned)  # fmt: skip
    names = ["period", "delivery_id", "fence", "at", "relay", "outcome", "stage", "reply"]
    note = insert_into(session, attempt).from_select(names, noted).on_conflict_do_nothing()
    connection.execute(note, parameters)
    result = connection.execute(
        update(delivery)
        .where(*abandoned)
        .values(state=_S.UNCERTAIN.value, settled_at=at(now), leased_by=None, last_reply=_DIED),
        parameters,
    )
    return result.rowcount


def _abandoned(grace: timedelta, now: Now) -> tuple[ColumnElement[bool], ...]:
    return (
        delivery.c.settled_at.is_(None),
        delivery.c.state == _S.SENDING.value,
        delivery.c.lease_until < at(now, -grace),
    )


def expire_overdue(session: Session, *, now: Now = None) -> int:
    """End a batch of mails of no campaign whose time is over; return how many.

    A campaign's mails end with it: only it knows how long it was paused.
    """
    nobody_has_it = or_(
        delivery.c.state == _S.QUEUED.value,
        and_(delivery.c.state == _S.LEASED.value, delivery.c.lease_until < at(now)),
    )
    overdue = (
        select(delivery.c.period, delivery.c.id)
        .where(
            delivery.c.settled_at.is_(None),
            delivery.c.campaign_id.is_(None),
            delivery.c.expires_at <= at(now),
            nobody_has_it,
        )
        .limit(_BATCH)
    )
    result = session.connection().execute(
        update(delivery)
        .where(tuple_(delivery.c.period, delivery.c.id).in_(overdue), nobody_has_it)
        .values(state=_S.EXPIRED.value, settled_at=at(now), lease_until=None, leased_by=None)
    )
    return result.rowcount
