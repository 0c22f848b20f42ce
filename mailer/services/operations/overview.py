"""How things stand, in numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.domain.approvals import Verdict
from mailer.domain.campaigns import CampaignState
from mailer.domain.consent import SubscriptionState
from mailer.domain.deliveries import Lane
from mailer.services.articles.feeds import broken_feeds
from mailer.services.campaigns.canary import describe
from mailer.services.installation.alive import alive_workers
from mailer.store.halting import halted_reason
from mailer.store.ledger import counts, uncertain
from mailer.store.models import (
    Approval,
    Campaign,
    Digest,
    Newsletter,
    Subscriber,
    Subscription,
    delivery,
)
from mailer.store.relays import troubles

_IN_PROGRESS = [
    CampaignState.SCHEDULED.value,
    CampaignState.PREPARING.value,
    CampaignState.SENDING.value,
    CampaignState.PAUSED.value,
]


def overview(session: Session, *, now: datetime) -> dict[str, Any]:
    """Return newsletters, readers, open deliveries per lane, campaigns, digests, workers, relays.

    First, where the installation is halted, why.

    Of the feeds only those that have failed for a day; and what waits for an editor's word. Of the
    relays only those that fail: what they say, and until when they are left alone. Of the
    deliveries also those of which nobody knows whether the relay took them.
    """
    return {
        "halted": halted_reason(session),
        "newsletters": _newsletters(session),
        "readers": session.scalar(select(func.count()).select_from(Subscriber)),
        "open_deliveries": _open_deliveries(session),
        "campaigns": _campaigns(session),
        "digests": _digests(session),
        "workers": [
            {"name": worker.name, "queue": worker.queue, "seen_at": worker.seen_at}
            for worker in alive_workers(session, now=now)
        ],
        "failing_relays": failing_relays(session),
        "broken_feeds": broken_feeds(session, now=now),
        "approvals": _approvals(session),
        "uncertain": uncertain_deliveries(session),
    }


def _approvals(session: Session) -> list[dict[str, Any]]:
    """Return the campaigns that wait for an editor's word."""
    waiting = select(Campaign).join(Approval).where(Approval.decision == Verdict.OPEN.value)
    return [
        {
            "campaign_id": campaign.id,
            "newsletter": campaign.newsletter.slug,
            "subject": campaign.subject,
            "until": campaign.approval.until,
        }
        for campaign in session.scalars(waiting.order_by(Campaign.id))
        if campaign.approval is not None
    ]


def uncertain_deliveries(session: Session) -> list[dict[str, Any]]:
    """Return the campaigns with deliveries that nobody knows the fate of, and what to do."""
    return [
        {
            "campaign_id": campaign_id,
            "deliveries": number,
            "advice": f"mailer campaign deliveries {campaign_id} --state uncertain; then "
            f"mailer campaign reconcile {campaign_id} --log FILE (the relay's), or "
            f"--presume sent|resend",
        }
        for campaign_id, number in uncertain(session)
    ]


def failing_relays(session: Session) -> list[dict[str, Any]]:
    """Return the relays that failed when they were last tried."""
    return [
        {"relay": name, "reason": reason, "left_alone_until": until}
        for name, reason, until in troubles(session)
    ]


def _newsletters(session: Session) -> list[dict[str, Any]]:
    readers = func.count(func.distinct(Subscription.subscriber_id))
    rows = session.execute(
        select(Newsletter.slug, Newsletter.name, readers)
        .outerjoin(
            Subscription,
            (Subscription.newsletter_id == Newsletter.id)
            & (Subscription.state == SubscriptionState.ACTIVE.value),
        )
        .group_by(Newsletter.id, Newsletter.slug, Newsletter.name)
        .order_by(Newsletter.id)
    )
    return [
        {"newsletter": slug, "name": name, "active_readers": count} for slug, name, count in rows
    ]


def _open_deliveries(session: Session) -> dict[str, int]:
    rows = session.execute(
        select(delivery.c.lane, func.count())
        .where(delivery.c.settled_at.is_(None))
        .group_by(delivery.c.lane)
    )
    found: dict[int, int] = dict(rows.all())
    return {lane.name.lower(): found.get(lane.value, 0) for lane in Lane}


def _campaigns(session: Session) -> list[dict[str, Any]]:
    campaigns = session.scalars(
        select(Campaign).where(Campaign.state.in_(_IN_PROGRESS)).order_by(Campaign.id)
    )
    return [
        {
            "campaign_id": campaign.id,
            "newsletter": campaign.newsletter.slug,
            "subject": campaign.subject,
            "state": campaign.state,
            "reason": campaign.paused_reason,
            "canary": describe(campaign),
            "counts": counts(session, campaign),
        }
        for campaign in campaigns
    ]


def _digests(session: Session) -> list[dict[str, Any]]:
    return [
        {
            "newsletter": digest.newsletter.slug,
            "digest": digest.slug,
            "paused": digest.paused,
            "next_run_at": digest.next_run_at,
            "last_run_at": digest.last_run_at,
            "last_outcome": digest.last_outcome,
        }
        for digest in session.scalars(select(Digest).order_by(Digest.id))
    ]
