"""Preparing a campaign: compile its variant, then plan its deliveries, chunk by chunk.

Every step can be killed: the variant is kept once, a chunk and the cursor are one transaction, and
the last step is a compare-and-set. Two workers at once do each other's work no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryKind, DeliveryState, Lane
from mailer.domain.errors import Refusal
from mailer.domain.retry import lifetime
from mailer.services.renderer import Renderer
from mailer.store.engine import Sessions
from mailer.store.ledger import close_campaign, has_open, plan_chunk
from mailer.store.models import Campaign

CHUNK = 2_000
"""Readers per planning transaction: well under 50 ms on SQLite, so that others get their turn."""


def waiting_campaigns(session: Session) -> list[int]:
    """Return the campaigns that wait to be prepared."""
    return list(
        session.scalars(
            select(Campaign.id)
            .where(Campaign.state == CampaignState.PREPARING.value)
            .order_by(Campaign.lane, Campaign.id)
        )
    )


def prepare_campaign(
    sessions: Sessions,
    campaign_id: int,
    *,
    renderer: Renderer,
    now: Callable[[], datetime],
    pause: Callable[[], None],
    chunk: int = CHUNK,
) -> int:
    """Compile and plan the campaign until it sends; return how many deliveries were added.

    `pause` is called between chunks. A template that cannot be rendered pauses the campaign, which
    says why; nobody gets half of it.
    """
    try:
        with sessions.begin() as session:
            campaign = session.get(Campaign, campaign_id)
            if campaign is None or campaign.state != CampaignState.PREPARING:
                return 0
            renderer.store_campaign_variant(session, campaign, now=now())
    except Refusal as refusal:
        _pause(sessions, campaign_id, str(refusal))
        raise
    added = 0
    while True:
        with sessions.begin() as session:
            planned = _plan_next(session, campaign_id, chunk, now())
        if planned is None:
            return added
        added += planned
        pause()


def _plan_next(session: Session, campaign_id: int, chunk: int, now: datetime) -> int | None:
    """Plan one chunk; None when the campaign needs no more planning."""
    campaign = session.get(Campaign, campaign_id, with_for_update=True)
    if campaign is None or campaign.state != CampaignState.PREPARING:
        return None
    lane = Lane(campaign.lane)
    ends = now + lifetime(DeliveryKind.CAMPAIGN, lane)
    if campaign.expires_at is not None:
        ends = min(ends, campaign.expires_at)
    planned = plan_chunk(session, campaign, limit=chunk, now=now, expires_at=ends)
    if planned.finished:
        campaign.state = CampaignState.SENDING.value
    return planned.added


def _pause(sessions: Sessions, campaign_id: int, reason: str) -> None:
    with sessions.begin() as session:
        session.execute(
            update(Campaign)
            .where(Campaign.id == campaign_id, Campaign.state == CampaignState.PREPARING.value)
            .values(
                state=CampaignState.PAUSED.value,
                resume_state=CampaignState.PREPARING.value,
                paused_reason=reason,
            )
        )


def finish_done(session: Session, *, now: datetime) -> int:
    """End every campaign that has nothing left to do; return how many. "Done" is a query."""
    finished = 0
    for campaign in session.scalars(
        select(Campaign)
        .where(Campaign.state == CampaignState.SENDING.value)
        .with_for_update(skip_locked=True)
    ):
        if campaign.expires_at is not None and campaign.expires_at <= now:
            close_campaign(session, campaign.id, DeliveryState.EXPIRED, now=now)
        if not has_open(session, campaign.id):
            campaign.state = CampaignState.FINISHED.value
            campaign.finished_at = now
            finished += 1
    return finished
