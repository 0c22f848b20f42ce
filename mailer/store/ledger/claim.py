"""Claiming: a batch of due rows is leased to one worker, by the database's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, or_, select, tuple_, update
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import OPEN, DeliveryKind, DeliveryState
from mailer.store.clock import Now, at
from mailer.store.models import Campaign, Newsletter, Subscriber, Variant, delivery


@dataclass(frozen=True, slots=True)
class Claimed:
    """One leased delivery with everything that is needed to personalise it."""

    id: int
    period: int
    fence: int
    kind: DeliveryKind
    newsletter_id: int
    campaign_id: int | None
    subscriber_id: int | None
    variant_id: int | None
    serial: int
    attempts: int
    created_at: datetime
    expires_at: datetime
    email: str
    name: str


def claim(
    session: Session, *, worker: str, limit: int, lease: timedelta, now: Now = None
) -> list[Claimed]:
    """Lease up to `limit` due deliveries to `worker`, the first lane first.

    Takes rows that are queued and due, and rows whose lease another worker let run out: they were
    never past the gate, so that doing them again is safe. Raising the fence makes whatever that
    other worker still does worthless.
    """
    picked = (
        select(delivery.c.period, delivery.c.id)
        .where(
            delivery.c.state.in_([state.value for state in OPEN]),  # so that the partial index fits
            _is_due(now),
            delivery.c.expires_at > at(now),
            or_(
                delivery.c.kind != DeliveryKind.CAMPAIGN.value,
                delivery.c.campaign_id.in_(
                    select(Campaign.id).where(Campaign.state == CampaignState.SENDING.value)
                ),
            ),
        )
        .order_by(delivery.c.lane, delivery.c.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=delivery)
        .cte("picked")
    )
    statement = (
        update(delivery)
        .where(tuple_(delivery.c.period, delivery.c.id).in_(select(picked.c.period, picked.c.id)))
        .values(
            state=DeliveryState.LEASED.value,
            fence=delivery.c.fence + 1,
            leased_by=worker,
            lease_until=at(now, lease),
            variant_id=case(
                (delivery.c.kind == DeliveryKind.CAMPAIGN.value, _variant_of_campaign()),
                else_=delivery.c.variant_id,
            ),
        )
        .returning(delivery)
        .execution_options(synchronize_session=False)
    )
    rows = session.connection().execute(statement).all()
    readers = _readers(session, [row.subscriber_id for row in rows if row.subscriber_id])
    rows = sorted(rows, key=lambda row: (row.lane, row.next_at, row.id))
    return [_claimed(row, readers.get(row.subscriber_id)) for row in rows]


def hand_back(session: Session, claimed: list[Claimed]) -> None:
    """Give leases back untouched, so that another worker need not wait for them to run out."""
    if not claimed:
        return
    keys = [(item.period, item.id, item.fence) for item in claimed]
    session.connection().execute(
        update(delivery)
        .where(
            tuple_(delivery.c.period, delivery.c.id, delivery.c.fence).in_(keys),
            delivery.c.state == DeliveryState.LEASED.value,
        )
        .values(state=DeliveryState.QUEUED.value, lease_until=None, leased_by=None)
    )


def _is_due(now: Now) -> ColumnElement[bool]:
    return or_(
        and_(delivery.c.state == DeliveryState.QUEUED.value, delivery.c.next_at <= at(now)),
        and_(delivery.c.state == DeliveryState.LEASED.value, delivery.c.lease_until < at(now)),
    )


def _variant_of_campaign() -> ColumnElement[int]:
    return (
        select(Variant.id)
        .join(Newsletter, Newsletter.locale == Variant.key)
        .where(
            Newsletter.id == delivery.c.newsletter_id,
            Variant.campaign_id == delivery.c.campaign_id,
        )
        .correlate(delivery)
        .scalar_subquery()
    )


def _readers(session: Session, ids: list[int]) -> dict[int, tuple[str, str]]:
    if not ids:
        return {}
    statement = select(Subscriber.id, Subscriber.email, Subscriber.name).where(
        Subscriber.id.in_(ids)
    )
    return {row.id: (row.email, row.name) for row in session.execute(statement)}


def _claimed(row: object, reader: tuple[str, str] | None) -> Claimed:
    email, name = reader or (getattr(row, "recipient", None) or "", "")
    return Claimed(
        kind=DeliveryKind(getattr(row, "kind")),  # noqa: B009 (rows are typed by name only)
        email=email,
        name=name,
        **{
            field: getattr(row, field)
            for field in (
                "id", "period", "fence", "newsletter_id", "campaign_id", "subscriber_id",
                "variant_id", "serial", "attempts", "created_at", "expires_at",
            )
        },
    )  # fmt: skip
