"""What is forgotten of mails in time: relays' replies, and whom tests went to. In batches."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.store.ledger.plan import period_of
from mailer.store.models import attempt, delivery
from mailer.store.rowset import Rowset

_KEY = (attempt.c.period, attempt.c.delivery_id, attempt.c.fence)
_ATTEMPTS = Rowset(
    "attempts", {"period": Integer(), "delivery_id": BigInteger(), "fence": Integer()}
)


class Place(NamedTuple):
    """Where a walk over the attempts has come to."""

    period: int
    delivery_id: int
    fence: int


BEGIN_OF_ATTEMPTS = Place(0, 0, 0)


def count_attempts(session: Session, before: datetime) -> int:
    """Return how many attempts are older and of no use any more."""
    return session.scalar(select(func.count()).select_from(attempt).where(_done_with(before))) or 0


def delete_attempts(
    session: Session, before: datetime, *, after: Place, limit: int
) -> tuple[int, Place | None]:
    """Walk `limit` attempts on from `after` and delete what is older; None: that was the end.

    The walk follows the key, so that it takes as long as the table, not as its square.
    """
    walked = session.execute(
        select(*_KEY, _done_with(before).label("done_with"))
        .where(attempt.c.period <= period_of(before), tuple_(*_KEY) > after)
        .order_by(*_KEY)
        .limit(limit)
    ).all()
    gone = [row[:3] for row in walked if row.done_with]
    if gone:
        keys = _ATTEMPTS.table(session.get_bind().dialect.name)
        wanted = tuple_(*_KEY).in_(select(keys.c.period, keys.c.delivery_id, keys.c.fence))
        session.connection().execute(delete(attempt).where(wanted), _ATTEMPTS.parameters(gone))
    end = len(walked) < limit
    return len(gone), None if end else Place(*walked[-1][:3])


def count_test_addresses(session: Session, before: datetime) -> int:
    """Return how many older tests still say whom they went to."""
    return session.scalar(select(func.count()).where(*_old_tests(before))) or 0


def forget_test_addresses(session: Session, before: datetime, *, limit: int) -> int:
    """Take the address and what the relay said from a batch of older tests; return how many."""
    batch = select(delivery.c.period, delivery.c.id).where(*_old_tests(before)).limit(limit)
    result = session.connection().execute(
        update(delivery)
        .where(tuple_(delivery.c.period, delivery.c.id).in_(batch))
        .values(recipient=None, recipient_hash=None, last_reply=None)
    )
    return result.rowcount


def _done_with(before: datetime) -> ColumnElement[bool]:
    """Condition: an older attempt; one that left its delivery uncertain is needed to settle it."""
    in_doubt = exists().where(
        delivery.c.period == attempt.c.period,
        delivery.c.id == attempt.c.delivery_id,
        delivery.c.state == DeliveryState.UNCERTAIN.value,
    )
    return and_(
        attempt.c.period <= period_of(before),
        attempt.c.at < before,
        or_(attempt.c.outcome != DeliveryState.UNCERTAIN.value, ~in_doubt),
    )


def _old_tests(before: datetime) -> tuple[ColumnElement[Any], ...]:
    return (
        delivery.c.recipient_hash.is_not(None),
        delivery.c.kind == DeliveryKind.TEST.value,
        delivery.c.settled_at.is_not(None),
        delivery.c.created_at < before,
    )
