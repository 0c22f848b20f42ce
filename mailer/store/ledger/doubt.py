"""Doubting: what a restored backup believes unsent, and nobody knows of."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, or_, select, tuple_, update
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.store.models import Campaign, attempt, delivery
from mailer.store.once import insert_into

_BATCH = 1_000
_IN_PROGRESS = [
    CampaignState.SCHEDULED.value,
    CampaignState.PREPARING.value,
    CampaignState.SENDING.value,
    CampaignState.PAUSED.value,
]


def doubt_open(session: Session, words: str, *, before: datetime, now: datetime) -> int:
    """Let a batch of open mails be uncertain, under a fence that nobody has; return how many.

    All of campaigns in progress; of others those that were made `before` the restoration: whoever
    signs up after it is asked to confirm. What was cancelled or had run out of time is unsent for
    sure.
    """
    of_campaign = delivery.c.kind == DeliveryKind.CAMPAIGN.value
    in_progress = select(Campaign.id).where(Campaign.state.in_(_IN_PROGRESS))
    found = (
        select(delivery.c.period, delivery.c.id)
        .where(
            delivery.c.settled_at.is_(None),
            or_(
                and_(of_campaign, delivery.c.campaign_id.in_(in_progress)),
                and_(~of_campaign, delivery.c.created_at < before),
            ),
        )
        .limit(_BATCH)
    )
    connection = session.connection()
    doubted = connection.execute(
        update(delivery)
        .where(
            tuple_(delivery.c.period, delivery.c.id).in_(found), delivery.c.settled_at.is_(None)
        )
        .values(
            state=DeliveryState.UNCERTAIN.value, settled_at=now, fence=delivery.c.fence + 1,
            lease_until=None, leased_by=None, last_reply=words,
        )
        .returning(delivery.c.period, delivery.c.id, delivery.c.fence)
    ).all()  # fmt: skip
    if doubted:
        noted = {"at": now, "relay": "", "stage": "restore", "reply": words}
        noted["outcome"] = DeliveryState.UNCERTAIN.value
        rows = [
            {"period": period, "delivery_id": number, "fence": fence, **noted}
            for period, number, fence in doubted
        ]
        connection.execute(insert_into(session, attempt).on_conflict_do_nothing(), rows)
    return len(doubted)
