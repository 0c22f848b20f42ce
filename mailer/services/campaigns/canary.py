"""Judging a canary: what became of the sample decides whether everybody gets the mail.

The sample is judged once all of it have been tried and a time has passed: what a queueing relay
could not deliver comes back later, and what receivers deferred has had its second try by then.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.canary import CanaryState
from mailer.services.campaigns.course import pause_campaign, release_rest
from mailer.store.engine import Sessions, reading
from mailer.store.ledger import has_untried, sample_outcome
from mailer.store.models import Campaign, Canary

_log = structlog.get_logger()


def judge_canaries(sessions: Sessions, *, now: datetime) -> int:
    """Release or pause every campaign whose sample has shown what it shows; return how many.

    Each in a transaction of its own. Only what is being sent is judged: a campaign that somebody
    paused is judged after it was resumed.
    """
    with reading(sessions) as session:
        held = session.scalars(
            select(Campaign.id)
            .join(Canary)
            .where(Campaign.state == CampaignState.SENDING.value, Canary.released_at.is_(None))
            .order_by(Campaign.lane, Campaign.id)
        ).all()
    judged = 0
    for campaign_id in held:
        with sessions.begin() as session:
            judged += _judge(session, campaign_id, now)
    return judged


def describe(campaign: Campaign) -> dict[str, Any] | None:
    """Return how the campaign's canary stands, as `campaign show --json` prints it."""
    canary = campaign.canary
    if canary is None:
        return None
    state = _state(campaign, canary)
    waits_until = (
        canary.tried_at + canary.order.wait
        if canary.tried_at is not None and state is CanaryState.WAITING
        else None
    )
    return {
        "state": state.value,
        "ordered": str(canary.order),
        "readers": canary.readers,
        "audience": canary.audience,
        "limit_percent": canary.failed_limit / 10_000,
        "wait_seconds": canary.wait_seconds,
        "waits_until": waits_until,
        "released_at": canary.released_at,
    }


def _state(campaign: Campaign, canary: Canary) -> CanaryState:
    if canary.released_at is not None:
        return CanaryState.RELEASED
    if campaign.state in (CampaignState.CANCELLED, CampaignState.EXPIRED):
        return CanaryState.ENDED
    if canary.held_at is not None:
        return CanaryState.HELD
    if canary.tried_at is not None:
        return CanaryState.WAITING
    return CanaryState.TRYING if canary.bound is not None else CanaryState.ORDERED


def _judge(session: Session, campaign_id: int, now: datetime) -> bool:
    """Take the next step with one campaign; say whether that was the verdict."""
    campaign = session.scalar(
        select(Campaign)
        .where(Campaign.id == campaign_id, Campaign.state == CampaignState.SENDING.value)
        .with_for_update(skip_locked=True)
    )
    if campaign is None or campaign.canary is None or not campaign.held:
        return False
    canary = campaign.canary
    if canary.tried_at is None:
        if has_untried(session, campaign):
            return False
        canary.tried_at = now
    if now < canary.tried_at + canary.order.wait:
        return False
    outcome = sample_outcome(session, campaign)
    numbers = outcome.sentence(canary.failed_limit)
    if outcome.goes_well(canary.failed_limit):
        release_rest(session, campaign, now=now)
        _log.info("canary released", campaign=campaign.id, numbers=numbers)
        return True
    canary.held_at = now
    pause_campaign(session, campaign, reason=f"{numbers}; {_advice(campaign.id)}")
    _log.warning("canary held", campaign=campaign.id, numbers=numbers)
    return True


def _advice(campaign_id: int) -> str:
    return (
        f"look at `mailer campaign deliveries {campaign_id} --state failed`, then "
        f"`mailer campaign resume {campaign_id}` sends to all, "
        f"`mailer campaign cancel {campaign_id}` ends it"
    )
