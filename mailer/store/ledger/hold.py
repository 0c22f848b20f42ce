"""What waits for its receiving provider is put off, so that no claim walks over it again and again.

When it was due is kept beside, and comes back when the provider is let go.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    Integer,
    Text,
    Update,
    and_,
    bindparam,
    func,
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.selectable import CTE

from mailer.domain.deliveries import DeliveryState
from mailer.store.clock import DatabaseTime
from mailer.store.ledger.claim import Source
from mailer.store.models import delivery
from mailer.store.rowset import Rowset

_HELD = Rowset("held", {"provider": Text(), "seconds": Float()})


def put_off(
    connection: Connection, source: Source, held: Mapping[str, float], *, limit: int, skip: int = 0
) -> int:
    """Put off what is due for the `held` providers by so many seconds; return how many rows.

    The first `skip` rows in the order of their times stay as they are.
    """
    if not held:
        return 0
    of_newsletter = source.campaign_id is None and source.newsletter_id is not None
    statement = _put_off(connection.dialect.name, source.campaign_id is None, of_newsletter)
    parameters: dict[str, Any] = {
        "campaign": source.campaign_id, "newsletter": source.newsletter_id,
        "limit": limit, "skip": skip,
    }  # fmt: skip
    parameters.update(_HELD.parameters(list(held.items())))
    return len(connection.execute(statement, parameters).all())


def let_go(connection: Connection, campaign_id: int | None, provider: str, *, limit: int) -> int:
    """Make due again what was put off for a provider, as it was before; return how many rows."""
    statement = _let_go(connection.dialect.name, campaign_id is None)
    parameters = {"campaign": campaign_id, "held": provider, "limit": limit, "skip": 0}
    return len(connection.execute(statement, parameters).all())


@cache
def _put_off(dialect: str, of_no_campaign: bool, of_newsletter: bool) -> Update:
    held = _HELD.table(dialect)
    newsletter = delivery.c.newsletter_id == bindparam("newsletter", type_=BigInteger)
    picked = _picked(
        of_no_campaign,
        *([newsletter] if of_newsletter else []),
        delivery.c.next_at <= DatabaseTime(),
        delivery.c.state == DeliveryState.QUEUED.value,
        delivery.c.provider.in_(select(held.c.provider)),
    )
    seconds = select(held.c.seconds).where(held.c.provider == delivery.c.provider)
    return (
        update(delivery)
        .where(_among(dialect, picked))
        .values(
            held_from=func.coalesce(delivery.c.held_from, delivery.c.next_at),
            next_at=DatabaseTime(seconds.correlate(delivery).scalar_subquery()),
        )
        .returning(delivery.c.id)  # to be counted: SQLite's driver counts no WITH … UPDATE
    )


@cache
def _let_go(dialect: str, of_no_campaign: bool) -> Update:
    picked = _picked(
        of_no_campaign,
        delivery.c.next_at > DatabaseTime(),
        delivery.c.held_from.is_not(None),
        delivery.c.provider == bindparam("held", type_=Text),
    )
    return (
        update(delivery)
        .where(_among(dialect, picked))
        .values(next_at=delivery.c.held_from, held_from=null())
        .returning(delivery.c.id)
    )


def _picked(of_no_campaign: bool, *conditions: ColumnElement[bool]) -> CTE:
    of_source = (
        delivery.c.campaign_id.is_(None)
        if of_no_campaign
        else delivery.c.campaign_id == bindparam("campaign", type_=BigInteger)
    )
    return (
        select(delivery.c.period, delivery.c.id)
        .where(of_source, delivery.c.settled_at.is_(None), *conditions)
        .order_by(delivery.c.next_at)
        .limit(bindparam("limit", type_=Integer))
        .offset(bindparam("skip", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("picked")
    )


def _among(dialect: str, picked: CTE) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return and_(delivery.c.period == picked.c.period, delivery.c.id == picked.c.id)
    return tuple_(delivery.c.period, delivery.c.id).in_(select(picked.c.period, picked.c.id))
