"""Digests: recurring rules that turn new articles into campaigns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.orm import Session

from mailer.domain.schedule import next_run, zone
from mailer.services.campaign_course import start_campaign
from mailer.services.campaigns import create_campaign
from mailer.services.lookup import find_purpose
from mailer.services.newsletters import BadValue, checked_slug
from mailer.services.renderer import Renderer
from mailer.store.halting import refuse_while_halted
from mailer.store.models import Article, Campaign, Digest, DigestArticle, Newsletter

_BUSY = timedelta(minutes=2)
_AFTER_FAILURE = timedelta(minutes=5)
_FRESH = timedelta(hours=12)
"""How late a missed run may be caught up: a morning's digest is of no use the next day."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """One run of a digest that somebody has begun; of all who have, one will make it.

    `due_at` is None for a run by hand.
    """

    digest_id: int
    newsletter_id: int
    last_run_at: datetime | None
    due_at: datetime | None


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
    renderer: Renderer,
    now: datetime,
) -> Digest:
    """Add a rule; raises Refusals for a bad slug, schedule, purpose or template."""
    checked_slug(slug)
    if not 1 <= min_articles <= max_articles <= 50:
        raise BadValue("A digest holds 1 to 50 articles, and at least as many as its minimum.")
    mine = select(Digest.id).where(Digest.newsletter_id == newsletter.id, Digest.slug == slug)
    if session.scalar(mine) is not None:
        raise BadValue(f"There is a digest “{slug}” already: choose another slug.")
    renderer.check_template(template)
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


def preview_digest(session: Session, digest: Digest, *, now: datetime) -> list[Article]:
    """Return the articles that would go now: the newest that this digest has not used.

    One that is dated ahead waits for its time.
    """
    used = exists().where(
        DigestArticle.digest_id == digest.id, DigestArticle.article_id == Article.id
    )
    return list(
        session.scalars(
            select(Article)
            .where(
                Article.newsletter_id == digest.newsletter_id,
                Article.removed_at.is_(None),
                or_(Article.published_at.is_(None), Article.published_at <= now),
                ~used,
            )
            .order_by(Article.published_at.desc().nulls_last(), Article.id.desc())
            .limit(digest.max_articles)
        )
    )


def has_due_digests(session: Session, *, now: datetime) -> bool:
    """Say whether a rule's time has come and nobody is at it."""
    return session.scalar(select(Digest.id).where(*_due(now)).limit(1)) is not None


def begin_due_runs(session: Session, *, now: datetime) -> list[Occasion]:
    """Take the rules whose time has come; for a while, others leave them to us."""
    rows = session.execute(
        update(Digest)
        .where(*_due(now))
        .values(busy_until=now + _BUSY)
        .returning(Digest.id, Digest.newsletter_id, Digest.last_run_at, Digest.next_run_at)
    )
    return [Occasion(*row) for row in rows]


def begin_run(digest: Digest) -> Occasion:
    """Begin a run by hand, whatever the schedule says."""
    return Occasion(digest.id, digest.newsletter_id, digest.last_run_at, None)


def run_digest(session: Session, occasion: Occasion, *, now: datetime) -> Ran | Skipped | None:
    """Turn the unused articles into a started campaign.

    None where the occasion is gone: another worker was faster, or the rule was paused or moved
    meanwhile. All of it is the caller's one transaction: the next time is set, the articles are
    marked used and the campaign exists, or nothing of that. However many runs were missed, one is
    made up for, and none that is too late.
    """
    refuse_while_halted(session)
    digest = session.get(Digest, occasion.digest_id, with_for_update=True, populate_existing=True)
    if digest is None or digest.last_run_at != occasion.last_run_at:
        return None
    if occasion.due_at is not None and (digest.paused or digest.next_run_at != occasion.due_at):
        return None
    digest.next_run_at = next_run(digest.cron, digest.timezone, now)
    digest.last_run_at, digest.busy_until = now, None
    stale = occasion.due_at is not None and now - occasion.due_at > _FRESH
    outcome = _run(session, digest, now, stale=stale)
    digest.last_outcome = (
        outcome.reason if isinstance(outcome, Skipped) else f"campaign {outcome.campaign.id}"
    )
    session.flush()
    return outcome


def put_off(session: Session, occasion: Occasion, reason: str, *, now: datetime) -> None:
    """Note why the run cannot be made now; it is tried again later, and stays as due as it was."""
    digest = session.get(Digest, occasion.digest_id, with_for_update=True)
    if digest is not None:
        digest.last_outcome = reason
        digest.busy_until = now + _AFTER_FAILURE


def _due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        Digest.next_run_at <= now,
        ~Digest.paused,
        or_(Digest.busy_until.is_(None), Digest.busy_until <= now),
    )


def _run(session: Session, digest: Digest, now: datetime, *, stale: bool) -> Ran | Skipped:
    if stale:
        return Skipped("the time passed while nothing was running; waiting for the next")
    articles = preview_digest(session, digest, now=now)
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
