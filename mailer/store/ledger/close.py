"""Closing: what has not been given to a relay is ended in the transaction that forbids it.

The condition at the gate alone is not enough: under READ COMMITTED a gate that began before a
withdrawal's commit does not see it. Updating the same row makes one wait for the other.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from mailer.domain.deliveries import CLOSABLE, DeliveryKind, DeliveryState
from mailer.store.models import Campaign, delivery

_CLOSABLE = [state.value for state in CLOSABLE]


def close_for_purpose(
    session: Session, subscriber_id: int, purpose_ids: Collection[int], *, now: datetime
) -> int:
    """End this reader's open campaign deliveries for these purposes; return how many."""
    campaigns = select(Campaign.id).where(Campaign.purpose_id.in_(purpose_ids))
    return _close(
        session,
        DeliveryState.WITHDRAWN,
        now,
        delivery.c.subscriber_id == subscriber_id,
        delivery.c.kind == DeliveryKind.CAMPAIGN.value,
        delivery.c.campaign_id.in_(campaigns),
    )


def close_for_reader(
    session: Session,
    subscriber_id: int,
    state: DeliveryState,
    *,
    now: datetime,
    newsletter_id: int | None = None,
) -> int:
    """End all of this reader's open deliveries (of one newsletter); return how many."""
    conditions = [delivery.c.subscriber_id == subscriber_id]
    if newsletter_id is not None:
        conditions.append(delivery.c.newsletter_id == newsletter_id)
    return _close(session, state, now, *conditions)


def close_campaign(
    session: Session, campaign_id: int, state: DeliveryState, *, now: datetime
) -> int:
    """End all open deliveries of a campaign, as cancelled or expired; return how many."""
    return _close(session, state, now, delivery.c.campaign_id == campaign_id)


def _close(
    session: Session, state: DeliveryState, now: datetime, *conditions: ColumnElement[bool]
) -> int:
    result = session.connection().execute(
        update(delivery)
        .where(delivery.c.state.in_(_CLOSABLE), *conditions)
        .values(state=state.value, settled_at=now, lease_until=None, leased_by=None)
    )
    return result.rowcount
