"""Digests: recurring rules that turn new articles into campaigns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from mailer.domain.rules import ORDINARY, Rules
from mailer.domain.schedule import zone
from mailer.services.articles.images import NONE, Images
from mailer.services.campaigns.course import start_campaign
from mailer.services.campaigns.drafts import draft_campaign
from mailer.services.campaigns.own_time import set_next_run
from mailer.services.digests.approvals import ask_for_approval
from mailer.services.digests.editing import Approver, set_approver
from mailer.services.digests.selecting import Outlook, never_went, preview_digest
from mailer.services.mails.renderer import Renderer
from mailer.services.newsletters.lookup import find_purpose
from mailer.services.newsletters.newsletters import BadValue, checked_slug
from mailer.store.halting import refuse_while_halted
from mailer.store.models import Campaign, Digest, DigestArticle, Newsletter

_BUSY = timedelta(minutes=2)
_AFTER_FAILURE = timedelta(minutes=5)


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
class Timing:
    """Whether a digest follows its readers' clocks, in which zones, and how late it may be made up.

    A morning's digest is of no use the next day.
    """

    own_time: bool = False
    zones: Collection[str] = ()
    fresh: timedelta = timedelta(hours=12)


AS_USUAL = Timing()


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
    rules: Rules = ORDINARY,
    approver: Approver | None = None,
    timing: Timing = AS_USUAL,
    renderer: Renderer,
    now: datetime,
) -> Digest:
    """Add a rule; raises Refusals for a bad slug, schedule, purpose or template."""
    checked_slug(slug)
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
        max_articles=rules.max_articles,
        min_articles=rules.min_articles,
        rules=rules.as_kept(),
        paused=False,
        reader_local_time=timing.own_time,
        fresh_seconds=round(timing.fresh.total_seconds()),
        last_run_at=None,
        last_outcome="",
    )
    set_next_run(digest, timing.zones, now=now)
    set_approver(digest, approver)
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


def resume_digest(
    session: Session, digest: Digest, *, zones: Collection[str] = (), now: datetime
) -> None:
    """Let the rule run again, from its next time on; `zones` as of `zones_of_digest`."""
    digest.paused = False
    set_next_run(digest, zones, now=now)
    session.flush()


def remove_digest(session: Session, digest: Digest) -> None:
    """Remove the rule; its campaigns stay."""
    session.delete(digest)


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


def look_ahead(session: Session, occasion: Occasion, *, now: datetime) -> Outlook | None:
    """Return what the run would send; None where the digest is gone.

    To select takes longer than a writer may hold up others, so that it is done before writing.
    """
    digest = session.get(Digest, occasion.digest_id)
    return preview_digest(session, digest, now=now) if digest is not None else None


def run_digest(
    session: Session,
    occasion: Occasion,
    *,
    outlook: Outlook | None = None,
    images: Images = NONE,
    zones: Collection[str] = (),
    now: datetime,
) -> Ran | Skipped | None:
    """Turn the unused articles into a started campaign.

    None where the occasion is gone: another worker was faster, or the rule was paused or moved
    meanwhile. All of it is the caller's one transaction: the next time is set, the articles are
    marked used and the campaign exists, or nothing of that. However many runs were missed, one is
    made up for, and none that is too late. A run at its time is due by each reader's own clock
    where the digest follows its readers (`zones` as of `zones_of_digest`); one by hand is not.
    `images` are those of the outlook's articles.
    """
    refuse_while_halted(session)
    digest = session.get(Digest, occasion.digest_id, with_for_update=True, populate_existing=True)
    if digest is None or digest.last_run_at != occasion.last_run_at:
        return None
    if occasion.due_at is not None and (digest.paused or digest.next_run_at != occasion.due_at):
        return None
    local_at = None if occasion.due_at is None else digest.next_local_at
    set_next_run(digest, zones, now=now)
    digest.last_run_at, digest.busy_until = now, None
    fresh = timedelta(seconds=digest.fresh_seconds)
    stale = occasion.due_at is not None and now - occasion.due_at > fresh
    outlook = outlook or preview_digest(session, digest, now=now)
    outcome = _run(session, digest, outlook, images, local_at, now, stale=stale)
    digest.last_outcome = outcome.reason if isinstance(outcome, Skipped) else _said(outcome)
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


def _run(
    session: Session,
    digest: Digest,
    outlook: Outlook,
    images: Images,
    local_at: str | None,
    now: datetime,
    *,
    stale: bool,
) -> Ran | Skipped:
    if stale:
        return Skipped("the time passed while nothing was running; waiting for the next")
    if outlook.shortfall:
        return Skipped(outlook.shortfall)
    campaign = _draft(session, digest, outlook, images, now)
    campaign.local_at = local_at
    session.add(campaign)
    session.flush()
    _mark_used(session, digest, campaign, outlook)
    if digest.approve_hash:
        ask_for_approval(campaign, digest, now=now)
    else:
        start_campaign(session, campaign, now=now)
    return Ran(campaign)


def digest_html(
    session: Session,
    digest: Digest,
    outlook: Outlook,
    renderer: Renderer,
    *,
    images: Images = NONE,
    now: datetime,
) -> str:
    """Return the mail that a run would send now, as its HTML; nothing is stored."""
    values = renderer.sample_values(
        email="reader@example.com", newsletter=digest.newsletter, now=now
    )
    draft = _draft(session, digest, outlook, images, now)
    return renderer.campaign_message(session, draft).preview_html(values)


def _draft(
    session: Session, digest: Digest, outlook: Outlook, images: Images, now: datetime
) -> Campaign:
    return draft_campaign(
        session,
        digest.newsletter,
        purpose=digest.purpose.slug,
        subject=f"{digest.newsletter.name}: {_shortened(outlook.chosen[0].title)}",
        article_ids=[article.id for article in outlook.chosen],
        merged=outlook.merged,
        images=images,
        template=digest.template,
        digest_id=digest.id,
        now=now,
    )


def _mark_used(session: Session, digest: Digest, campaign: Campaign, outlook: Outlook) -> None:
    """Write the articles into the ledger, and those whose story they tell.

    What stands there of campaigns that never began was sent to nobody, and makes room.
    """
    session.execute(
        delete(DigestArticle).where(
            DigestArticle.digest_id == digest.id, DigestArticle.campaign_id.in_(never_went())
        )
    )
    used: dict[int, int | None] = dict.fromkeys(outlook.selection.chosen)
    for article, others in outlook.merged.items():
        used.update(dict.fromkeys(others, article))
    session.add_all(
        DigestArticle(
            digest_id=digest.id, article_id=article, campaign_id=campaign.id, told_by=told_by
        )
        for article, told_by in used.items()
    )


def _said(ran: Ran) -> str:
    approval = ran.campaign.approval
    if approval is None:
        return f"campaign {ran.campaign.id}"
    until = f"until {approval.until:%Y-%m-%d %H:%M} UTC"
    return f"campaign {ran.campaign.id} waits {until} to be approved"


def _shortened(title: str, limit: int = 90) -> str:
    return title if len(title) <= limit else title[: title.rfind(" ", 0, limit)] + "…"
