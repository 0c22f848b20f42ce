"""Recovering: what a dead worker left past the gate, and what ran out of time."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.store.clock import Now, at
from mailer.store.models import delivery

_S = DeliveryState
_BATCH = 5_000


def recover_abandoned(session: Session, *, grace: timedelta, now: Now = None) -> int:
    """Settle deliveries whose worker died past the gate; return how many became uncertain.

    Nobody can know whether the relay took them, so that they are `uncertain` and listed. `grace`
    must exceed the relay's read timeout: until then a frozen worker's connection may still finish.
    A confirmation goes back to the queue: one too many is better than none, and its Message-ID is
    the same.
    """
    abandoned = (
        delivery.c.state == _S.SENDING.value,
        delivery.c.lease_until < at(now, -grace),
    )
    connection = session.connection()
    connection.execute(
        update(delivery)
        .where(*abandoned, delivery.c.kind == DeliveryKind.CONFIRMATION.value)
        .values(state=_S.QUEUED.value, next_at=at(now), lease_until=None, leased_by=None)
    )
    result = connection.execute(
        update(delivery)
        .where(*abandoned)
        .values(
            state=_S.UNCERTAIN.value,
            settled_at=at(now),
            leased_by=None,
            last_reply="the worker died after the gate: nobody knows whether the relay took it",
        )
    )
    return result.rowcount


def expire_overdue(session: Session, *, now: Now = None) -> int:
    """End a batch of queued deliveries whose time is over; return how many."""
    overdue = (
        select(delivery.c.id)
        .where(
            delivery.c.state == _S.QUEUED.value,
            delivery.c.expires_at <= at(now),
        )
        .limit(_BATCH)
    )
    result = session.connection().execute(
        update(delivery)
        .where(delivery.c.id.in_(overdue), delivery.c.state == _S.QUEUED.value)
        .values(state=_S.EXPIRED.value, settled_at=at(now))
    )
    return result.rowcount
