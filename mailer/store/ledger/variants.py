"""Variants that are chosen reader by reader, while the deliveries are leased."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sqlalchemy import BigInteger, Connection, Float, Integer, Update, bindparam, select, update

from mailer.domain.deliveries import DeliveryState
from mailer.store.clock import DatabaseTime
from mailer.store.ledger.claim import Claimed
from mailer.store.models import WantedVariant, delivery
from mailer.store.once import insert_for
from mailer.store.rowset import Rowset

_CHOSEN = Rowset(
    "chosen",
    {"id": BigInteger(), "period": Integer(), "fence": Integer(), "variant": BigInteger()},
)
_WAITING = Rowset("waiting", {"id": BigInteger(), "period": Integer(), "fence": Integer()})


def set_variants(connection: Connection, chosen: Sequence[tuple[Claimed, int]]) -> None:
    """Write down which variant each of the leased deliveries is made from."""
    rows = [(item.id, item.period, item.fence, variant) for item, variant in chosen]
    connection.execute(_set(connection.dialect.name), _CHOSEN.parameters(rows))


def let_wait(connection: Connection, claimed: Sequence[Claimed], *, seconds: float) -> None:
    """Give leases back until a worker has compiled what their readers want; ask for it."""
    rows = [(item.id, item.period, item.fence) for item in claimed]
    parameters = {**_WAITING.parameters(rows), "seconds": seconds}
    connection.execute(_give_back(connection.dialect.name), parameters)
    wanted = [
        {"campaign_id": item.campaign_id, "subscriber_id": item.subscriber_id, "problem": ""}
        for item in claimed
    ]
    statement = insert_for(connection.dialect.name, WantedVariant).values(wanted)
    connection.execute(statement.on_conflict_do_nothing())


def problems(connection: Connection, campaign_id: int) -> dict[int, str]:
    """Return, by reader, why what they want cannot be compiled."""
    found = connection.execute(
        select(WantedVariant.subscriber_id, WantedVariant.problem).where(
            WantedVariant.campaign_id == campaign_id, WantedVariant.problem != ""
        )
    )
    return dict(found.all())


@cache
def _set(dialect: str) -> Update:
    chosen = _CHOSEN.table(dialect)
    return (
        update(delivery)
        .where(
            delivery.c.id == chosen.c.id,
            delivery.c.period == chosen.c.period,
            delivery.c.fence == chosen.c.fence,
        )
        .values(variant_id=chosen.c.variant)
    )


@cache
def _give_back(dialect: str) -> Update:
    waiting = _WAITING.table(dialect)
    return (
        update(delivery)
        .where(
            delivery.c.id == waiting.c.id,
            delivery.c.period == waiting.c.period,
            delivery.c.fence == waiting.c.fence,
            delivery.c.state == DeliveryState.LEASED.value,
        )
        .values(
            state=DeliveryState.QUEUED.value,
            lease_until=None,
            leased_by=None,
            next_at=DatabaseTime(bindparam("seconds", type_=Float)),
        )
    )
