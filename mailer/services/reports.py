"""What became of a campaign: counts, and one line per reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryState
from mailer.services.canary import describe
from mailer.store.audience import audience_size
from mailer.store.ledger import counts
from mailer.store.ledger.requeue import of_campaign
from mailer.store.models import Campaign, Subscriber, delivery


def report(session: Session, campaign: Campaign) -> dict[str, Any]:
    """Return the campaign and its counts, as `campaign show --json` prints them."""
    found = counts(session, campaign)
    return {
        "campaign_id": campaign.id,
        "public_id": campaign.public_id,
        "newsletter": campaign.newsletter.slug,
        "purpose": campaign.purpose.slug,
        "subject": campaign.subject,
        "state": campaign.state,
        "paused_reason": campaign.paused_reason,
        "audience": _audience(session, campaign, found),
        "counts": found,
        "canary": describe(campaign),
        "approval": _approval(campaign),
        "images_left_out": campaign.content.get("images_left_out", []),
        "created_at": campaign.created_at,
        "send_at": campaign.send_at,
        "local_at": campaign.local_at,
        "started_at": campaign.started_at,
        "finished_at": campaign.finished_at,
    }


def _approval(campaign: Campaign) -> dict[str, Any] | None:
    """Return who is asked, until when, and what was decided."""
    approval = campaign.approval
    if approval is None:
        return None
    return {
        "asked": approval.recipient or None,
        "asked_at": approval.asked_at,
        "until": approval.until,
        "decision": approval.decision or "open",
        "decided_at": approval.decided_at,
    }


def _audience(session: Session, campaign: Campaign, found: dict[str, int]) -> int:
    """Return how many readers the campaign is for: planned, or counted before the planning."""
    if campaign.state in (CampaignState.DRAFT, CampaignState.SCHEDULED):
        return audience_size(session, campaign)
    if campaign.canary is not None and campaign.held:
        return campaign.canary.audience or 0
    return sum(found.values())


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
        .where(of_campaign(campaign))
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
