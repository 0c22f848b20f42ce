"""Changing a digest: its rules, who approves it, and what an editor says of single articles."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from mailer.domain.addresses import EmailAddress, address_hash
from mailer.domain.approvals import LONGEST_WAIT
from mailer.domain.rules import Rules
from mailer.domain.schedule import zone
from mailer.domain.selection import Mark
from mailer.services.campaigns.own_time import set_next_run
from mailer.services.digests.selecting import never_went
from mailer.services.mails.renderer import Renderer
from mailer.services.newsletters.lookup import NotFound, find_purpose
from mailer.services.newsletters.newsletters import BadValue
from mailer.store.models import Article, Digest, DigestArticle, DigestMark
from mailer.store.once import insert_into


@dataclass(frozen=True, slots=True)
class Approver:
    """Whose word a digest waits for, and how long."""

    address: str
    address_hash: str
    within: timedelta

    @classmethod
    def of(cls, address: EmailAddress, key: bytes, within: timedelta) -> Approver:
        """Return the approver at this address; raises BadValue for a wait that is of no use."""
        if not timedelta(minutes=5) <= within <= LONGEST_WAIT:
            raise BadValue("An editor has between 5 minutes and 7 days to approve.")
        return cls(str(address), address_hash(address, key), within)


def set_rules(session: Session, digest: Digest, changes: Mapping[str, Any]) -> None:
    """Change the rules that are named, as the fields of `Rules`; raises BadRules, BadValue."""
    rules = replace(digest.selection, **changes)
    _refuse_too_many_wanted(_wanted(session, digest), rules)
    digest.max_articles, digest.min_articles = rules.max_articles, rules.min_articles
    digest.rules = rules.as_kept()


def set_approver(digest: Digest, approver: Approver | None) -> None:
    """Let the digest wait for somebody's word from its next run on; None: for nobody's."""
    digest.approve_by = approver.address if approver else ""
    digest.approve_hash = approver.address_hash if approver else ""
    if approver:
        digest.approve_seconds = round(approver.within.total_seconds())


def edit_digest(
    session: Session,
    digest: Digest,
    *,
    purpose: str | None = None,
    cron: str | None = None,
    timezone: str | None = None,
    template: str | None = None,
    own_time: bool | None = None,
    fresh: timedelta | None = None,
    zones: Collection[str] = (),
    renderer: Renderer,
    now: datetime,
) -> None:
    """Change when, for what and how a digest goes; what is None stays. Raises Refusals.

    `zones` are those that readers live in (`services.campaigns.own_time`).
    """
    if purpose is not None:
        digest.purpose = find_purpose(session, digest.newsletter, purpose)
    if template is not None:
        renderer.check_template(template)
        digest.template = template
    if fresh is not None:
        digest.fresh_seconds = round(fresh.total_seconds())
    if cron is not None or timezone is not None or own_time is not None:
        digest.timezone = zone(timezone or digest.timezone).key
        digest.cron = cron or digest.cron
        if own_time is not None:
            digest.reader_local_time = own_time
        set_next_run(digest, zones, now=now)


def mark_article(
    session: Session, digest: Digest, article: Article, mark: Mark, *, now: datetime
) -> None:
    """Say of an article that it is wanted, or not, or leads; one leads at a time.

    Raises NotFound for another newsletter's article, BadValue for one that was sent already or
    where there is no room.
    """
    if article.newsletter_id != digest.newsletter_id:
        raise NotFound(
            f"Article {article.id} is of another newsletter: see "
            f"`mailer article list {digest.newsletter.slug}`."
        )
    if mark is not Mark.EXCLUDED:
        _refuse_sent(session, digest, article)
        wanted = _wanted(session, digest) | {article.id}
        _refuse_too_many_wanted(wanted, digest.selection)
    if mark is Mark.TOP:
        others = select(DigestMark).where(
            DigestMark.digest_id == digest.id, DigestMark.mark == Mark.TOP.value
        )
        for other in session.scalars(others):
            other.mark = Mark.PINNED.value
        session.flush()
    values = {
        "digest_id": digest.id, "article_id": article.id, "mark": mark.value, "marked_at": now,
    }  # fmt: skip
    session.execute(
        insert_into(session, DigestMark)
        .values(values)
        .on_conflict_do_update(
            index_elements=["digest_id", "article_id"],
            set_={"mark": mark.value, "marked_at": now},
        )
    )
    session.expire_all()


def unmark_article(session: Session, digest: Digest, article: Article) -> bool:
    """Take back what was said of an article; return whether anything was."""
    taken = session.execute(
        delete(DigestMark)
        .where(DigestMark.digest_id == digest.id, DigestMark.article_id == article.id)
        .returning(DigestMark.article_id)
    )
    return taken.first() is not None


def _wanted(session: Session, digest: Digest) -> set[int]:
    """Return the articles that an editor wants and that have not gone yet."""
    went = exists().where(
        DigestArticle.digest_id == digest.id,
        DigestArticle.article_id == DigestMark.article_id,
        DigestArticle.campaign_id.not_in(never_went()),
    )
    return set(
        session.scalars(
            select(DigestMark.article_id)
            .join(Article, Article.id == DigestMark.article_id)
            .where(
                DigestMark.digest_id == digest.id,
                DigestMark.mark != Mark.EXCLUDED.value,
                Article.removed_at.is_(None),
                ~went,
            )
        )
    )


def _refuse_too_many_wanted(wanted: set[int], rules: Rules) -> None:
    if len(wanted) > rules.max_articles:
        raise BadValue(
            f"{len(wanted)} articles would be pinned, and the digest holds {rules.max_articles}: "
            "unpin one, or raise --max-articles."
        )


def _refuse_sent(session: Session, digest: Digest, article: Article) -> None:
    campaign = session.scalar(
        select(DigestArticle.campaign_id).where(
            DigestArticle.digest_id == digest.id,
            DigestArticle.article_id == article.id,
            DigestArticle.campaign_id.not_in(never_went()),
        )
    )
    if campaign is not None:
        raise BadValue(
            f"Article {article.id} was sent in campaign {campaign}: an article is in a digest once."
        )
