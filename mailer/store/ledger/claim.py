"""Claiming: a batch of due rows is leased to one worker, by the database's clock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    Integer,
    Row,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
    update,
)

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryState, Lane
from mailer.store.clock import DatabaseTime
from mailer.store.halting import halted_reason
from mailer.store.models import Campaign, Subscriber, Variant, delivery
from mailer.store.rowset import Rowset

_S = DeliveryState
_SUBSCRIBER = 6  # the place of the reader's id among what a lease returns, and in `Claimed`
_BLOCKED = Rowset("blocked", {"provider": Text()})
_IDS = Rowset("ids", {"id": BigInteger()})
_LEASES = Rowset("leases", {"id": BigInteger(), "period": Integer(), "fence": Integer()})


class Claimed(NamedTuple):
    """One leased delivery with everything that is needed to personalise it."""

    id: int
    period: int
    fence: int
    kind: str  # a DeliveryKind
    newsletter_id: int
    campaign_id: int | None
    subscriber_id: int | None
    variant_id: int | None  # None: it is still to be chosen for the reader
    serial: int
    attempts: int
    provider: str
    email: str
    name: str
    version: int = 1  # of its campaign's content; the gate opens for no older one


class Source(NamedTuple):
    """Where due deliveries come from: one campaign, or what belongs to none.

    Of the latter, `newsletter_id` None means: of all newsletters. `variant_id` None means that it
    differs from reader to reader.
    """

    campaign_id: int | None
    variant_id: int | None
    newsletter_id: int | None
    lane: int
    version: int = 1  # of the campaign's content


OF_NO_CAMPAIGN = Source(None, None, None, Lane.TRANSACTIONAL)
"""Confirmations and tests, of all newsletters."""


def sources(connection: Connection) -> list[Source]:
    """Return where deliveries may be due, in the order in which they go; nowhere while halted."""
    if halted_reason(connection) is not None:
        return []
    campaigns = [Source(*row) for row in connection.execute(_campaigns())]
    return [OF_NO_CAMPAIGN, *campaigns]


def claim(
    connection: Connection,
    *,
    worker: str,
    limit: int,
    lease: timedelta,
    among: Sequence[Source] | None = None,
    blocked: Collection[str] = (),
) -> list[Claimed]:
    """Lease up to `limit` due deliveries to `worker`, all of the first source that has any.

    `among`: all sources unless said; so no row of a paused campaign is ever walked over. What is
    for the `blocked` providers is left where it is. Takes rows that are queued and due, and rows
    whose lease another worker let run out: they were never past the gate, so that doing them again
    is safe. Raising the fence makes whatever that other worker still does worthless. What is for a
    reader who has been erased is ended.
    """
    for source in sources(connection) if among is None else among:
        statement = _lease(
            connection.dialect.name,
            source.campaign_id is None,
            source.newsletter_id is not None,
            bool(blocked),
        )
        parameters = {
            "campaign": source.campaign_id,
            "newsletter": source.newsletter_id,
            "variant": source.variant_id,
            "worker": worker,
            "limit": limit,
            "lease": lease.total_seconds(),
            **_BLOCKED.parameters([(provider,) for provider in blocked]),
        }
        while rows := connection.execute(statement, parameters).all():
            claimed = _with_readers(connection, sorted(rows, key=itemgetter(0)), source.version)
            there = [item for item in claimed if item.email]
            if len(there) < len(claimed):
                _end_without_reader(connection, [item for item in claimed if not item.email])
            if there:
                return there
    return []


def hand_back(connection: Connection, claimed: Sequence[Claimed]) -> None:
    """Give leases back untouched, so that another worker need not wait for them to run out."""
    if not claimed:
        return
    dialect = connection.dialect.name
    leases = [(item.id, item.period, item.fence) for item in claimed]
    connection.execute(_hand_back(dialect), _LEASES.parameters(leases))


@cache
def _campaigns() -> Select[int, int, int, int, int]:
    """Return the campaigns that are being sent and have time left, with their variants."""
    variant = select(func.min(Variant.id)).where(
        Variant.campaign_id == Campaign.id,
        Variant.version == Campaign.version,
        ~Campaign.personal,
    )
    return (
        select(
            Campaign.id,
            variant.scalar_subquery().label("variant_id"),
            Campaign.newsletter_id,
            Campaign.lane,
            Campaign.version,
        )
        .where(
            Campaign.state == CampaignState.SENDING.value,
            or_(Campaign.ends_at.is_(None), Campaign.ends_at > DatabaseTime()),
        )
        .order_by(Campaign.lane, Campaign.id)
    )


@cache
def _lease(dialect: str, of_no_campaign: bool, of_newsletter: bool, blocks: bool) -> Update:
    now = DatabaseTime()
    if of_no_campaign:
        of_source = [delivery.c.campaign_id.is_(None), delivery.c.expires_at > now]
        if of_newsletter:
            of_source.append(delivery.c.newsletter_id == bindparam("newsletter", type_=BigInteger))
    else:
        of_source = [delivery.c.campaign_id == bindparam("campaign", type_=BigInteger)]
    if blocks:
        of_source.append(delivery.c.provider.not_in(select(_BLOCKED.table(dialect).c.provider)))
    picked = (
        select(delivery.c.period, delivery.c.id)
        .where(
            *of_source,
            delivery.c.settled_at.is_(None),
            delivery.c.next_at <= now,
            or_(
                delivery.c.state == _S.QUEUED.value,
                and_(delivery.c.state == _S.LEASED.value, delivery.c.lease_until < now),
            ),
        )
        .order_by(delivery.c.next_at)
        .limit(bindparam("limit", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("picked")
    )
    mine = (
        and_(delivery.c.period == picked.c.period, delivery.c.id == picked.c.id)
        if dialect == "postgresql"
        else tuple_(delivery.c.period, delivery.c.id).in_(select(picked.c.period, picked.c.id))
    )
    variant = bindparam("variant", type_=BigInteger)
    return (
        update(delivery)
        .where(mine)
        .values(
            state=_S.LEASED.value,
            fence=delivery.c.fence + 1,
            leased_by=bindparam("worker"),
            held_from=None,
            lease_until=DatabaseTime(bindparam("lease", type_=Float)),
            variant_id=delivery.c.variant_id if of_no_campaign else variant,
        )
        .returning(
            delivery.c.id, delivery.c.period, delivery.c.fence, delivery.c.kind,
            delivery.c.newsletter_id, delivery.c.campaign_id, delivery.c.subscriber_id,
            delivery.c.variant_id, delivery.c.serial, delivery.c.attempts, delivery.c.provider,
            delivery.c.recipient,
        )
    )  # fmt: skip


@cache
def _hand_back(dialect: str) -> Update:
    return _given_up(dialect).values(state=_S.QUEUED.value)


@cache
def _withdraw(dialect: str) -> Update:
    return _given_up(dialect).values(state=_S.WITHDRAWN.value, settled_at=DatabaseTime())


def _given_up(dialect: str) -> Update:
    leases = _LEASES.table(dialect)
    return (
        update(delivery)
        .where(
            delivery.c.id == leases.c.id,
            delivery.c.period == leases.c.period,
            delivery.c.fence == leases.c.fence,
            delivery.c.state == _S.LEASED.value,
        )
        .values(lease_until=None, leased_by=None)
    )


@cache
def _readers(dialect: str) -> Select[int, str, str]:
    ids = _IDS.table(dialect)
    return select(Subscriber.id, Subscriber.email, Subscriber.name).where(Subscriber.id == ids.c.id)


def _end_without_reader(connection: Connection, claimed: Sequence[Claimed]) -> None:
    """End what is for a reader who has been erased since it was planned, or tried before."""
    leases = [(item.id, item.period, item.fence) for item in claimed]
    connection.execute(_withdraw(connection.dialect.name), _LEASES.parameters(leases))


def _with_readers(connection: Connection, rows: Sequence[Row[Any]], version: int) -> list[Claimed]:
    wanted = [(row[_SUBSCRIBER],) for row in rows if row[_SUBSCRIBER] is not None]
    found = connection.execute(_readers(connection.dialect.name), _IDS.parameters(wanted))
    readers = {row[0]: (row[1], row[2], version) for row in found.all()}
    return [
        Claimed(*row[:-1], *readers.get(row[_SUBSCRIBER], (row[-1] or "", "", version)))
        for row in rows
    ]
