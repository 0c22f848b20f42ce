"""One person's mails: what they are told when they ask for everything about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Integer, Row, and_, select, union_all
from sqlalchemy.orm import Session

from mailer.store.models import attempt, delivery
from mailer.store.rowset import Rowset

_MAILS = Rowset("mails", {"period": Integer(), "id": BigInteger()})


def mails_of(session: Session, subscriber_id: int | None, address_hash: str) -> Sequence[Row[Any]]:
    """Return all deliveries to a reader, and the tests to their address, oldest first."""
    keys = [
        select(delivery.c.period, delivery.c.id).where(delivery.c.recipient_hash == address_hash)
    ]
    if subscriber_id is not None:
        of_reader = delivery.c.subscriber_id == subscriber_id
        keys.append(select(delivery.c.period, delivery.c.id).where(of_reader))
    mine = union_all(*keys).subquery("mine")
    return session.execute(
        select(delivery)
        .join(mine, and_(delivery.c.period == mine.c.period, delivery.c.id == mine.c.id))
        .order_by(delivery.c.id)
    ).all()


def attempts_of(session: Session, mails: Sequence[tuple[int, int]]) -> Sequence[Row[Any]]:
    """Return all attempts at these deliveries (period, id), in the order in which they were."""
    wanted = _MAILS.table(session.get_bind().dialect.name)
    return session.execute(
        select(attempt)
        .join(
            wanted, and_(attempt.c.period == wanted.c.period, attempt.c.delivery_id == wanted.c.id)
        )
        .order_by(attempt.c.delivery_id, attempt.c.fence),
        _MAILS.parameters(mails),
    ).all()
