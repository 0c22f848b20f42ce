"""The archive: which campaigns anybody may read, and what is told of each before it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.links import Links
from mailer.services.mails.freezing import shown_articles
from mailer.services.newsletters.lookup import NotFound, storable
from mailer.store.models import Campaign, Canary, Newsletter, Variant

_SUMMARY = 300
"""Characters that a feed reader or a shared link shows of a mail."""


@dataclass(frozen=True, slots=True)
class Issue:
    """A campaign as lists, feeds and shared links show it; all of it is plain text."""

    public_id: str
    subject: str
    summary: str
    image: str  # a URL; empty where no article has one
    sent_at: datetime


def issues_of(
    session: Session, newsletter: Newsletter, links: Links, *, before: str = "", limit: int
) -> Sequence[Issue]:
    """Return the newest issues of the newsletter, or those before the one of that public id.

    What was stopped half-way is not among them, nor what only a canary's sample has got, nor a
    mail that asked readers to agree to a new wording, nor one that corrects another, whose own page
    is the corrected one. Raises NotFound for a `before` that is not of this newsletter.
    """
    wanted = _listed(newsletter).limit(limit)
    if before:
        last = session.scalar(_listed(newsletter).where(Campaign.public_id == storable(before)))
        if last is None:
            raise NotFound(f"No issue of {newsletter.slug} is called “{before}”.")
        same_moment = and_(Campaign.started_at == last.started_at, Campaign.id < last.id)
        wanted = wanted.where(or_(Campaign.started_at < last.started_at, same_moment))
    return [issue_of(campaign, links) for campaign in session.scalars(wanted)]


def issue_of(campaign: Campaign, links: Links) -> Issue:
    """Return what is told of a campaign that has begun."""
    assert campaign.started_at is not None
    articles = shown_articles(campaign.content, links)
    summary = campaign.preheader or " · ".join(article["title"] for article in articles[:3])
    images = [article["image"]["url"] for article in articles if article.get("image")]
    return Issue(
        public_id=campaign.public_id,
        subject=campaign.subject,
        summary=_shortened(summary),
        image=images[0] if images else "",
        sent_at=campaign.started_at,
    )


def readable_campaign(session: Session, public_id: str) -> Campaign | None:
    """Return the campaign that anybody may read under its public id, once readers can have it."""
    compiled = select(Variant.id).where(Variant.campaign_id == Campaign.id).exists()
    return session.scalar(
        select(Campaign).where(
            Campaign.public_id == public_id, Campaign.started_at.is_not(None), compiled
        )
    )


def _listed(newsletter: Newsletter) -> Select[Campaign]:
    compiled = select(Variant.id).where(Variant.campaign_id == Campaign.id).exists()
    goes_on_corrected = and_(Campaign.state == CampaignState.PREPARING, Campaign.version > 1)
    return (
        select(Campaign)
        .outerjoin(Canary, Canary.campaign_id == Campaign.id)
        .where(
            Campaign.newsletter_id == newsletter.id,
            Campaign.started_at.is_not(None),
            or_(
                Campaign.state.in_((CampaignState.SENDING, CampaignState.FINISHED)),
                goes_on_corrected,
            ),
            Campaign.renews_notice_id.is_(None),
            Campaign.corrects_id.is_(None),
            or_(Canary.campaign_id.is_(None), Canary.released_at.is_not(None)),
            compiled,
        )
        .order_by(Campaign.started_at.desc(), Campaign.id.desc())
    )


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    if len(words) <= _SUMMARY:
        return words
    return words[: _SUMMARY - 1].rsplit(" ", 1)[0].rstrip(" ·") + "…"
