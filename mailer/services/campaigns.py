"""Campaigns: one frozen content to one frozen audience, and the orders an operator gives them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from mailer.domain.addresses import EmailAddress, address_hash, receiving_provider
from mailer.domain.campaigns import CampaignState, may_follow
from mailer.domain.deliveries import DeliveryKind, DeliveryState, Lane
from mailer.domain.errors import Refusal
from mailer.domain.retry import lifetime
from mailer.services.lookup import NotFound, find_purpose
from mailer.services.newsletters import one_line
from mailer.services.renderer import Renderer
from mailer.store.ledger import close_campaign, queue_mail
from mailer.store.ledger.plan import period_of
from mailer.store.models import Article, Campaign, Newsletter, Subscriber
from mailer.store.suppressions import standing

_S = CampaignState


class CannotCampaign(Refusal):
    """The campaign cannot be made, or cannot do what was asked; the message says why."""


def create_campaign(
    session: Session,
    newsletter: Newsletter,
    *,
    purpose: str,
    subject: str,
    preheader: str = "",
    article_ids: Sequence[int] = (),
    html: str | None = None,
    template: str | None = None,
    lane: Lane = Lane.REGULAR,
    expires_at: datetime | None = None,
    digest_id: int | None = None,
    now: datetime,
) -> Campaign:
    """Make a draft; its content is copied now, and later changes of articles do not reach it."""
    if not article_ids and not (html and html.strip()):
        raise CannotCampaign("A campaign needs content: give --article ID or --html FILE.")
    subject = one_line(subject, "subject")
    if not subject:
        raise CannotCampaign("A campaign needs a subject: give --subject.")
    content: dict[str, Any] = {"articles": _frozen(session, newsletter, article_ids)}
    if html:
        content["body_html"] = html
    campaign = Campaign(
        public_id=secrets.token_urlsafe(12),
        newsletter=newsletter,
        purpose=find_purpose(session, newsletter, purpose),
        digest_id=digest_id,
        subject=subject,
        preheader=one_line(preheader, "preheader") or _first_summary(content),
        template=template or ("announcement" if html or digest_id is None else "digest"),
        content=content,
        lane=int(lane),
        state=_S.DRAFT.value,
        paused_reason="",
        resume_state="",
        created_at=now,
        expires_at=expires_at,
        period=period_of(now),
        upper_subscriber_id=0,
        cursor_subscriber_id=0,
    )
    session.add(campaign)
    session.flush()
    return campaign


def start_campaign(session: Session, campaign: Campaign, *, now: datetime) -> None:
    """Freeze the audience and let the workers begin; a second order changes nothing."""
    if campaign.state in (_S.PREPARING, _S.SENDING):
        return
    _refuse_without_address(campaign.newsletter)
    _move(session, campaign, _S.PREPARING)
    campaign.upper_subscriber_id = session.scalar(select(func.max(Subscriber.id))) or 0
    campaign.cursor_subscriber_id = 0
    campaign.started_at = now
    campaign.period = period_of(now)


def schedule_campaign(session: Session, campaign: Campaign, at: datetime, *, now: datetime) -> None:
    """Let the campaign start by itself at the time given."""
    if at <= now:
        raise CannotCampaign("That time has passed: give one that lies ahead, or send it now.")
    _refuse_without_address(campaign.newsletter)
    _move(session, campaign, _S.SCHEDULED)
    campaign.send_at = at


def start_scheduled(session: Session, *, now: datetime) -> int:
    """Start every campaign whose time has come; return how many."""
    due = session.scalars(
        select(Campaign)
        .where(Campaign.state == _S.SCHEDULED.value, Campaign.send_at <= now)
        .with_for_update(skip_locked=True)
    ).all()
    for campaign in due:
        if campaign.expires_at is not None and campaign.expires_at <= now:
            _move(session, campaign, _S.EXPIRED)
        else:
            start_campaign(session, campaign, now=now)
    return len(due)


def pause_campaign(session: Session, campaign: Campaign, *, reason: str = "by hand") -> None:
    """Let nothing more of the campaign pass the gate."""
    before = campaign.state
    _move(session, campaign, _S.PAUSED)
    campaign.resume_state = before
    campaign.paused_reason = reason


def resume_campaign(session: Session, campaign: Campaign) -> None:
    """Go on where the pause began."""
    if campaign.state != _S.PAUSED:
        raise CannotCampaign(f"Campaign {campaign.id} is {campaign.state}, not paused.")
    _move(session, campaign, CampaignState(campaign.resume_state or _S.SENDING.value))
    campaign.paused_reason = ""


def cancel_campaign(session: Session, campaign: Campaign, *, now: datetime) -> int:
    """End the campaign; return how many mails are not sent because of it."""
    _move(session, campaign, _S.CANCELLED)
    campaign.finished_at = now
    session.flush()
    return close_campaign(session, campaign.id, DeliveryState.CANCELLED, now=now)


def send_test(
    session: Session,
    campaign: Campaign,
    address: EmailAddress,
    *,
    renderer: Renderer,
    suppression_key: bytes,
    now: datetime,
) -> int:
    """Queue the campaign as it is for one address; return the delivery's id."""
    if standing(session, address_hash(address, suppression_key), campaign.newsletter.slug):
        raise CannotCampaign(f"{address} is suppressed: choose another address for the test.")
    return queue_mail(
        session,
        kind=DeliveryKind.TEST,
        newsletter_id=campaign.newsletter_id,
        variant_id=renderer.store_campaign_variant(session, campaign, now=now),
        provider=receiving_provider(address),
        recipient=str(address),
        now=now,
        expires_at=now + lifetime(DeliveryKind.TEST, Lane.TRANSACTIONAL),
    )


def list_campaigns(session: Session, newsletter: Newsletter | None = None) -> list[Campaign]:
    """Return the campaigns (of one newsletter), newest first."""
    statement = select(Campaign).order_by(Campaign.id.desc())
    if newsletter is not None:
        statement = statement.where(Campaign.newsletter_id == newsletter.id)
    return list(session.scalars(statement))


def _refuse_without_address(newsletter: Newsletter) -> None:
    if not newsletter.postal_address:
        raise CannotCampaign(
            f"Newsletter {newsletter.slug} has no postal address, which every mail must bear: "
            f"`mailer newsletter edit {newsletter.slug} --postal-address …`."
        )


def _move(session: Session, campaign: Campaign, after: CampaignState) -> None:
    """Take the step if the table allows it and nobody else has taken one since; else refuse."""
    before = CampaignState(campaign.state)
    moved = (
        may_follow(before, after)
        and session.execute(
            update(Campaign)
            .where(Campaign.id == campaign.id, Campaign.state == before.value)
            .values(state=after.value)
            .returning(Campaign.id)
        ).first()
    )
    if not moved:
        raise CannotCampaign(
            f"Campaign {campaign.id} is {campaign.state} and cannot become {after.value}: "
            f"see `mailer campaign show {campaign.id}`."
        )
    session.refresh(campaign, ["state"])


def _frozen(
    session: Session, newsletter: Newsletter, article_ids: Sequence[int]
) -> list[dict[str, Any]]:
    found = {
        article.id: article
        for article in session.scalars(
            select(Article).where(
                Article.id.in_(article_ids), Article.newsletter_id == newsletter.id
            )
        )
    }
    missing = [str(article_id) for article_id in article_ids if article_id not in found]
    if missing:
        raise NotFound(
            f"Newsletter {newsletter.slug} has no article {', '.join(missing)}: "
            f"see `mailer article list {newsletter.slug}`."
        )
    return [_copy(found[article_id]) for article_id in dict.fromkeys(article_ids)]


def _copy(article: Article) -> dict[str, Any]:
    return {
        "id": article.id,
        "title": article.title,
        "summary": article.summary,
        "url": article.canonical_url,
        "section": article.section,
        "author": article.author,
        "published_at": article.published_at.isoformat() if article.published_at else "",
        "language": article.language,
        "image": article.image,
    }


def _first_summary(content: dict[str, Any]) -> str:
    articles = content["articles"]
    titles = [article["title"] for article in articles[1:4]]
    return " · ".join(titles) if titles else (articles[0]["summary"] if articles else "")
