"""Digests: recurring rules that turn new articles into campaigns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from mailer.domain.schedule import next_run, zone
from mailer.rendering import load_template
from mailer.services.campaigns import create_campaign, start_campaign
from mailer.services.lookup import find_purpose
from mailer.services.newsletters import BadValue, checked_slug
from mailer.store.models import Article, Campaign, Digest, DigestArticle, Newsletter

_FRESH = timedelta(hours=12)
"""How late a missed run may be caught up: a morning's digest is of no use the next day."""


@dataclass(frozen=True, slots=True)
class Ran:
    """The digest became a campaign."""

    campaign: Campaign


@dataclass(frozen=True, slots=True)
class Skipped:
    """The digest did nothing; `reason` is one sentence."""

    reason: str


def add_digest(
    session: Session,
    newsletter: Newsletter,
    *,
    slug: str,
    purpose: str,
    cron: str,
    timezone: str = "",
    template: str = "digest",
    max_articles: int = 12,
    min_articles: int = 1,
    now: datetime,
) -> Digest:
    """Add a rule; raises Refusals for a bad slug, schedule, purpose or template."""
    checked_slug(slug)
    if not 1 <= min_articles <= max_articles <= 50:
        raise BadValue("A digest holds 1 to 50 articles, and at least as many as its minimum.")
    mine = select(Digest.id).where(Digest.newsletter_id == newsletter.id, Digest.slug == slug)
    if session.scalar(mine) is not None:
        raise BadValue(f"There is a digest “{slug}” already: choose another slug.")
    load_template(template)
    timezone = zone(timezone or newsletter.timezone).key
    digest = Digest(
        newsletter=newsletter,
        purpose=find_purpose(session, newsletter, purpose),
        slug=slug,
        cron=cron,
        timezone=timezone,
        template=template,
        max_articles=max_articles,
        min_articles=min_articles,
        paused=False,
        next_run_at=next_run(cron, timezone, now),
        last_run_at=None,
        last_outcome="",
    )
    session.add(digest)
    session.flush()
    return digest


def list_digests(session: Session, newsletter: Newsletter | None = None) -> list[Digest]:
    """Return the digests (of one newsletter)."""
    statement = select(Digest).order_by(Digest.newsletter_id, Digest.slug)
    if newsletter is not None:
        statement = statement.where(Digest.newsletter_id == newsletter.id)
    return list(session.scalars(statement))


def pause_digest(session: Session, digest: Digest) -> None:
    """Let the rule rest."""
    digest.paused = True
    session.flush()


def resume_digest(session: Session, digest: Digest, *, now: datetime) -> None:
    """Let the rule run again, from its next time on."""
    digest.paused = False
    digest.next_run_at = next_run(digest.cron, digest.timezone, now)
    session.flush()


def remove_digest(session: Session, digest: Digest) -> None:
    """Remove the rule; its campaigns stay."""
    session.delete(digest)


def request_run(session: Session, digest: Digest, *, now: datetime) -> None:
    """Make the rule due now; the workers do the rest."""
    if digest.paused:
        raise BadValue(f"Digest {digest.slug} is paused: resume it first.")
    digest.next_run_at = now
    session.flush()


def preview_digest(session: Session, digest: Digest) -> list[Article]:
    """Return the articles that would go now: the newest that this digest has not used."""
    used = exists().where(
        DigestArticle.digest_id == digest.id, DigestArticle.article_id == Article.id
    )
    return list(
        session.scalars(
            select(Article)
            .where(Article.newsletter_id == digest.newsletter_id, ~used)
            .order_by(Article.published_at.desc().nulls_last(), Article.id.desc())
            .limit(digest.max_articles)
        )
    )


def due_digests(session: Session, *, now: datetime) -> list[Digest]:
    """Return the rules whose time has come."""
    return list(
        session.scalars(
            select(Digest).where(Digest.next_run_at <= now, ~Digest.paused).order_by(Digest.id)
        )
    )


def run_digest(
    session: Session, digest: Digest, *, now: datetime, forced: bool = False
) -> Ran | Skipped | None:
    """Turn the unused articles into a started campaign; None where another worker was faster.

    All of it is the caller's one transaction: the next time is set, the articles are marked used
    and the campaign exists, or nothing of that. However many runs were missed, one is made up for,
    and none that is too late.
    """
    due_at = digest.next_run_at
    won = session.execute(
        update(Digest)
        .where(
            Digest.id == digest.id,
            Digest.next_run_at == due_at,
            Digest.last_run_at.is_not_distinct_from(digest.last_run_at),
        )
        .values(next_run_at=next_run(digest.cron, digest.timezone, now), last_run_at=now)
        .returning(Digest.id)
    ).first()
    if won is None:
        return None
    session.refresh(digest)
    outcome = _run(session, digest, now, stale=not forced and now - due_at > _FRESH)
    digest.last_outcome = (
        outcome.reason if isinstance(outcome, Skipped) else f"campaign {outcome.campaign.id}"
    )
    session.flush()
    return outcome


def _run(session: Session, digest: Digest, now: datetime, *, stale: bool) -> Ran | Skipped:
    if stale:
        return Skipped("the time passed while nothing was running; waiting for the next")
    articles = preview_digest(session, digest)
    if len(articles) < digest.min_articles:
        return Skipped(
            "there is no new article"
            if not articles
            else f"there are {len(articles)} new articles, fewer than {digest.min_articles}"
        )
    campaign = create_campaign(
        session,
        digest.newsletter,
        purpose=digest.purpose.slug,
        subject=f"{digest.newsletter.name}: {_shortened(articles[0].title)}",
        article_ids=[article.id for article in articles],
        template=digest.template,
        digest_id=digest.id,
        now=now,
    )
    session.add_all(
        DigestArticle(digest_id=digest.id, article_id=article.id, campaign_id=campaign.id)
        for article in articles
    )
    start_campaign(session, campaign, now=now)
    return Ran(campaign)


def _shortened(title: str, limit: int = 90) -> str:
    return title if len(title) <= limit else title[: title.rfind(" ", 0, limit)] + "…"
