"""Reports over deliveries. "Done" is a query, not a counter that can go wrong."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, func, literal_column, select
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.store.ledger.requeue import of_campaign
from mailer.store.models import Campaign, attempt, delivery


def counts(session: Session, campaign: Campaign) -> dict[str, int]:
    """Return the number of the campaign's deliveries in every state, zeros included."""
    found = dict.fromkeys((state.value for state in DeliveryState), 0)
    rows = session.execute(
        select(delivery.c.state, func.count())
        .where(of_campaign(campaign))
        .group_by(delivery.c.state)
    )
    found.update(dict(rows.all()))
    return found


def has_open(session: Session, campaign: Campaign) -> bool:
    """Say whether a delivery of the campaign still has something to be done by itself."""
    statement = select(exists().where(*_open(campaign)))
    return bool(session.scalar(statement))


def count_open(session: Session, campaign: Campaign) -> int:
    """Return how many of the campaign's deliveries still have something to be done."""
    return session.scalar(select(func.count()).where(*_open(campaign))) or 0


def uncertain(session: Session) -> list[tuple[int, int]]:
    """Return, per campaign, how many deliveries nobody knows the fate of.

    Found by their attempts, which have an index for it; `delivery` has none over its state.
    """
    rows = session.execute(
        select(delivery.c.campaign_id, func.count())
        .join(
            attempt,
            (attempt.c.period == delivery.c.period)
            & (attempt.c.delivery_id == delivery.c.id)
            & (attempt.c.fence == delivery.c.fence),
        )
        .where(
            attempt.c.outcome == literal_column(f"'{DeliveryState.UNCERTAIN}'"),
            delivery.c.state == DeliveryState.UNCERTAIN.value,
            delivery.c.campaign_id.is_not(None),
        )
        .group_by(delivery.c.campaign_id)
        .order_by(delivery.c.campaign_id)
    )
    return [(campaign_id, number) for campaign_id, number in rows]


def _open(campaign: Campaign) -> tuple[ColumnElement[bool], ...]:
    return (delivery.c.settled_at.is_(None), delivery.c.campaign_id == campaign.id)
