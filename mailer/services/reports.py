"""What became of a campaign: counts, and one line per reader."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.store.audience import audience_size
from mailer.store.ledger import counts
from mailer.store.models import Campaign, Subscriber, delivery

_ANOTHER_DAY = timedelta(days=1)


def report(session: Session, campaign: Campaign) -> dict[str, Any]:
    """Return the campaign and its counts, as `campaign show --json` prints them."""
    found = counts(session, campaign.id)
    planned = campaign.state not in (CampaignState.DRAFT, CampaignState.SCHEDULED)
    audience = (
        sum(found.values())
        if planned
        else audience_size(session, campaign.purpose_id, campaign.newsletter_id)
    )
    return {
        "campaign_id": campaign.id,
        "public_id": campaign.public_id,
        "newsletter": campaign.newsletter.slug,
        "purpose": campaign.purpose.slug,
        "subject": campaign.subject,
        "state": campaign.state,
        "paused_reason": campaign.paused_reason,
        "audience": audience,
        "counts": found,
        "created_at": campaign.created_at,
        "send_at": campaign.send_at,
        "started_at": campaign.started_at,
        "finished_at": campaign.finished_at,
    }


def deliveries(
    session: Session,
    campaign: Campaign,
    *,
    message_id_of: Callable[[int], str],
    state: DeliveryState | None = None,
) -> list[dict[str, Any]]:
    """Return one entry per reader, as `campaign deliveries --json` prints them."""
    statement = (
        select(delivery, func.coalesce(Subscriber.email, "").label("email"))
        .outerjoin(Subscriber, Subscriber.id == delivery.c.subscriber_id)
        .where(
            delivery.c.campaign_id == campaign.id,
            delivery.c.kind == DeliveryKind.CAMPAIGN.value,
        )
        .order_by(delivery.c.id)
    )
    if state is not None:
        statement = statement.where(delivery.c.state == state.value)
    return [
        {
            "email": row.email,
            "state": row.state,
            "attempts": row.attempts,
            "message_id": message_id_of(row.id),
            "last_reply": row.last_reply,
            "sent_at": row.settled_at if row.state == DeliveryState.SENT else None,
        }
        for row in session.execute(statement)
    ]


def retry_failed(session: Session, campaign: Campaign, *, now: datetime) -> int:
    """Put the campaign's failed deliveries back into the queue; return how many."""
    return _requeue(session, campaign, DeliveryState.FAILED, now)


def reconcile(session: Session, campaign: Campaign, *, presume_sent: bool, now: datetime) -> int:
    """Settle what nobody can know, by a person's decision; return how many."""
    if not presume_sent:
        return _requeue(session, campaign, DeliveryState.UNCERTAIN, now)
    return (
        session.connection()
        .execute(
            update(delivery)
            .where(
                delivery.c.campaign_id == campaign.id,
                delivery.c.state == DeliveryState.UNCERTAIN.value,
            )
            .values(state=DeliveryState.PRESUMED_SENT.value, settled_at=now)
        )
        .rowcount
    )


def _requeue(session: Session, campaign: Campaign, state: DeliveryState, now: datetime) -> int:
    """Give deliveries another day; the fence rises at their next claim."""
    number = (
        session.connection()
        .execute(
            update(delivery)
            .where(delivery.c.campaign_id == campaign.id, delivery.c.state == state.value)
            .values(
                state=DeliveryState.QUEUED.value,
                next_at=now,
                settled_at=None,
                expires_at=now + _ANOTHER_DAY,
            )
        )
        .rowcount
    )
    if number and campaign.state == CampaignState.FINISHED:
        campaign.state = CampaignState.SENDING.value
        campaign.finished_at = None
    return number
