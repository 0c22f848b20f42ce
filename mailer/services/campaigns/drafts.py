"""Making campaigns: one frozen content, for one frozen audience."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.addresses import EmailAddress, address_hash, receiving_provider
from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryKind, Lane
from mailer.domain.retry import lifetime
from mailer.rendering import has_homeless_image, plain_text, sanitise_operator_html
from mailer.services.articles.images import NONE, Images
from mailer.services.campaigns.course import CannotCampaign
from mailer.services.mails.freezing import freeze_articles
from mailer.services.mails.renderer import Renderer
from mailer.services.newsletters.lookup import find_purpose
from mailer.services.newsletters.newsletters import one_line
from mailer.store.engine import Sessions, reading
from mailer.store.ledger import queue_mail
from mailer.store.ledger.plan import period_of
from mailer.store.models import Campaign, Newsletter, Purpose
from mailer.store.suppressions import standing

LONGEST_SUBJECT = 200


def create_campaign(session: Session, newsletter: Newsletter, **given: Any) -> Campaign:
    """Make a draft and store it; takes what `draft_campaign` takes."""
    campaign = draft_campaign(session, newsletter, **given)
    session.add(campaign)
    session.flush()
    return campaign


def draft_campaign(
    session: Session,
    newsletter: Newsletter,
    *,
    purpose: str,
    subject: str,
    preheader: str = "",
    article_ids: Sequence[int] = (),
    merged: Mapping[int, Sequence[int]] = MappingProxyType({}),
    images: Images = NONE,
    html: str | None = None,
    template: str | None = None,
    lane: Lane = Lane.REGULAR,
    expires_at: datetime | None = None,
    digest_id: int | None = None,
    now: datetime,
) -> Campaign:
    """Return a draft that is not stored yet.

    Its content is copied now, and later changes of articles do not reach it.

    `merged`: the articles whose story another one tells, so that it names their sources too.
    `images`: of these articles (`services.articles.images`); what is not among them, no mail shows.
    """
    if not article_ids and not (html and html.strip()):
        raise CannotCampaign("A campaign needs content: give --article ID or --html FILE.")
    frozen = freeze_articles(session, newsletter, article_ids, merged=merged, images=images)
    content: dict[str, Any] = {"articles": frozen.articles, "images_left_out": frozen.left_out}
    if html:
        content["body_html"] = checked_html(html)
    campaign = new_draft(
        find_purpose(session, newsletter, purpose),
        subject=checked_subject(subject),
        template=template or _template_for(lane, digest_id),
        content=content,
        now=now,
    )
    campaign.images = frozen.images
    campaign.digest_id = digest_id
    campaign.preheader = one_line(preheader, "preheader") or headlines(content)
    campaign.lane = int(lane)
    campaign.expires_at = expires_at
    return campaign


def checked_subject(subject: str) -> str:
    """Return the subject on one line; raises Refusals for one that is empty, or too long."""
    subject = one_line(subject, "subject", LONGEST_SUBJECT)
    if not subject:
        raise CannotCampaign("A campaign needs a subject: give --subject.")
    return subject


def checked_html(html: str) -> str:
    """Return the body as it is; raises CannotCampaign where a mail may hold nothing of it."""
    if not (plain_text(html) or "<img" in sanitise_operator_html(html)):
        raise CannotCampaign(
            "Of that HTML nothing is left that a mail may hold: no text, no image."
        )
    if has_homeless_image(html):
        raise CannotCampaign(
            "An image in that HTML is not on the web, so that mail programs do not show it: "
            "give its src as an address that begins with https://."
        )
    return html


def _template_for(lane: Lane, digest_id: int | None) -> str:
    """Return the template of a campaign that names none: by why it is made."""
    if lane is Lane.BREAKING:
        return "breaking"
    return "announcement" if digest_id is None else "digest"


def new_draft(
    purpose: Purpose, *, subject: str, template: str, content: dict[str, Any], now: datetime
) -> Campaign:
    """Return a draft that is not stored yet."""
    return Campaign(
        public_id=secrets.token_urlsafe(12),
        newsletter=purpose.newsletter,
        purpose=purpose,
        subject=subject,
        preheader="",
        template=template,
        content=content,
        version=1,
        lane=int(Lane.REGULAR),
        state=CampaignState.DRAFT.value,
        paused_reason="",
        resume_state="",
        created_at=now,
        period=period_of(now),
        upper_subscriber_id=0,
        cursor_subscriber_id=0,
    )


def send_test(
    sessions: Sessions,
    campaign_id: int,
    address: EmailAddress,
    *,
    renderer: Renderer,
    suppression_key: bytes,
    now: datetime,
    note: Callable[[Session, str], None] = lambda *_: None,
) -> int:
    """Queue the campaign as it is now for one address; return the delivery's id.

    It is compiled for this test alone: what is changed afterwards stands in the next test, and in
    what readers get. Compiling takes longer than a writer may hold up others, so that it is done
    before writing. `note` is given the address's keyed hash.
    """
    hashed = address_hash(address, suppression_key)
    with reading(sessions) as session:
        compiled = renderer.campaign_message(session, session.get_one(Campaign, campaign_id))
    with sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        if standing(session, hashed, campaign.newsletter.slug):
            raise CannotCampaign(f"{address} is suppressed: choose another address for the test.")
        note(session, hashed)
        return queue_mail(
            session,
            kind=DeliveryKind.TEST,
            newsletter_id=campaign.newsletter_id,
            variant_id=renderer.store_test_variant(session, campaign, compiled, now=now),
            provider=receiving_provider(address),
            recipient=str(address),
            recipient_hash=hashed,
            now=now,
            expires_at=now + lifetime(DeliveryKind.TEST, Lane.TRANSACTIONAL),
        )


def list_campaigns(session: Session, newsletter: Newsletter | None = None) -> list[Campaign]:
    """Return the campaigns (of one newsletter), newest first."""
    statement = select(Campaign).order_by(Campaign.id.desc())
    if newsletter is not None:
        statement = statement.where(Campaign.newsletter_id == newsletter.id)
    return list(session.scalars(statement))


def headlines(content: Mapping[str, Any]) -> str:
    """Return what the subject leaves out: the next titles, or the only story's summary.

    It is the preheader where none is given.
    """
    articles = content["articles"]
    titles = [article["title"] for article in articles[1:4]]
    return " · ".join(titles) if titles else (articles[0]["summary"] if articles else "")
