"""What a digest would hold now, and why: the selection, fed from the database.

`mailer.domain.selection` decides; this file brings the candidates and puts the reasons into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.rules import Rules
from mailer.domain.selection import (
    Candidate,
    Decision,
    Mark,
    Reason,
    Selection,
    select_articles,
)
from mailer.services.articles.sources import feed_names, own_source
from mailer.store.models import (
    Article,
    Campaign,
    Digest,
    DigestArticle,
    DigestMark,
)

LOOKED_AT = 400
"""The newest articles that are looked at; whoever has more of them sets a maximum age."""

_SENT_LATELY = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Line:
    """One article of a preview: what becomes of it, and why in words."""

    article: Article
    decision: Decision
    source: str
    moment: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run would do now; the lines that go come first, in the mail's order."""

    lines: tuple[Line, ...]
    selection: Selection
    rules: Rules

    @property
    def chosen(self) -> list[Article]:
        """The articles that go, in the mail's order."""
        return [line.article for line in self.lines if line.decision.reason.is_in]

    @property
    def merged(self) -> dict[int, tuple[int, ...]]:
        """Article that goes → the articles whose story it tells."""
        found = {article: self.selection.merged_into(article) for article in self.selection.chosen}
        return {article: others for article, others in found.items() if others}

    @property
    def shortfall(self) -> str:
        """Why a run would be skipped, in words; empty where it would not."""
        number = len(self.selection.chosen)
        if number >= self.rules.min_articles:
            return ""
        if not number:
            return "there is no new article"
        plural = "article" if number == 1 else "articles"
        return f"there are {number} new {plural}, fewer than {self.rules.min_articles}"


@dataclass(frozen=True, slots=True)
class _Used:
    """When and where an article went, or its story was told by another one."""

    at: datetime
    campaign_id: int
    told_by: int | None


def preview_digest(session: Session, digest: Digest, *, now: datetime) -> Outlook:
    """Return what a run would use now, and of every other article why it would not."""
    used = _used(session, digest, now)
    marks = _marks(session, digest)
    articles = {article.id: article for article in _articles(session, digest, [*used, *marks])}
    names = feed_names(session, digest.newsletter_id)
    sources = {
        article.id: (str(article.feed_id or ""), own_source(article, names))
        for article in articles.values()
    }
    candidates = [
        Candidate(
            id=article.id,
            title=article.title,
            source=sources[article.id][0] or sources[article.id][1],
            section=article.section,
            moment=_moment(article, now),
            has_image=article.image is not None,
            mark=marks.get(article.id),
            sent_at=used[article.id].at if article.id in used else None,
            updated_at=article.updated_at,
        )
        for article in articles.values()
    ]
    selection = select_articles(candidates, digest.selection, now)
    words = _Words(
        digest.selection, articles, used, {key: each[1] for key, each in sources.items()}
    )
    lines = [
        Line(
            article := articles[decision.id],
            decision,
            sources[decision.id][1],
            _moment(article, now),
            words.why(decision),
        )
        for decision in selection.decisions
    ]
    return Outlook(tuple(lines), selection, digest.selection)


def never_went() -> Select[int]:
    """Return the campaigns that ended before they began: no reader has what they hold."""
    over = (CampaignState.CANCELLED.value, CampaignState.EXPIRED.value)
    return select(Campaign.id).where(Campaign.state.in_(over), Campaign.started_at.is_(None))


def _articles(session: Session, digest: Digest, also: Iterable[int]) -> list[Article]:
    """Return the newest articles that the digest has not used, and those that are named."""
    used = exists().where(
        DigestArticle.digest_id == digest.id,
        DigestArticle.article_id == Article.id,
        DigestArticle.campaign_id.not_in(never_went()),
    )
    mine = and_(Article.newsletter_id == digest.newsletter_id, Article.removed_at.is_(None))
    moment = func.coalesce(Article.published_at, Article.added_at)
    newest = session.scalars(
        select(Article)
        .where(mine, ~used)
        .order_by(moment.desc(), Article.id.desc())
        .limit(LOOKED_AT)
    )
    found = {article.id: article for article in newest}
    missing = set(also) - found.keys()
    if missing:
        named = session.scalars(select(Article).where(mine, Article.id.in_(missing)))
        found.update((article.id, article) for article in named)
    return list(found.values())


def _used(session: Session, digest: Digest, now: datetime) -> dict[int, _Used]:
    at = func.coalesce(Campaign.started_at, Campaign.created_at)
    marked = select(DigestMark.article_id).where(DigestMark.digest_id == digest.id)
    rows = session.execute(
        select(DigestArticle.article_id, at, Campaign.id, DigestArticle.told_by)
        .join(Campaign, Campaign.id == DigestArticle.campaign_id)
        .where(
            DigestArticle.digest_id == digest.id,
            Campaign.id.not_in(never_went()),
            or_(Campaign.created_at > now - _SENT_LATELY, DigestArticle.article_id.in_(marked)),
        )
        .order_by(Campaign.id.desc())
        .limit(LOOKED_AT)
    )
    return {article: _Used(moment, campaign, told) for article, moment, campaign, told in rows}


def _marks(session: Session, digest: Digest) -> dict[int, Mark]:
    rows = session.scalars(select(DigestMark).where(DigestMark.digest_id == digest.id))
    return {row.article_id: Mark(row.mark) for row in rows}


def _moment(article: Article, now: datetime) -> datetime:
    """Return when an article came out; one without a date came when we first saw it."""
    return article.published_at or min(article.added_at, now)


@dataclass(frozen=True, slots=True)
class _Words:
    """Decisions in words."""

    rules: Rules
    articles: Mapping[int, Article]
    used: Mapping[int, _Used]
    sources: Mapping[int, str]

    def why(self, decision: Decision) -> str:
        """Return why the article is in or out, in half a sentence."""
        article = self.articles[decision.id]
        section = article.section or "without a name"
        match decision.reason:
            case Reason.TOP | Reason.PINNED | Reason.CHOSEN:
                return {Reason.CHOSEN: "new"}.get(decision.reason, decision.reason.value)
            case Reason.SENT:
                return self._sent(article.id)
            case Reason.UPDATED:
                return f"{self._sent(article.id)}, updated since: it is not sent again"
            case Reason.EXCLUDED:
                return "excluded by an editor"
            case Reason.AHEAD:
                return f"dated ahead: waits until {article.published_at:%Y-%m-%d %H:%M} UTC"
            case Reason.TOO_OLD:
                return f"older than {_span(self.rules.max_age)}"
            case Reason.SAME_AS_SENT:
                like = decision.like or 0
                return f"the same story as {self._named(like)}, {self._sent(like)}"
            case Reason.SAME_STORY:
                named = self._named(decision.like or 0)
                return f"the same story as {named}: {decision.because}"
            case Reason.SECTION_FULL:
                cap = self.rules.cap(article.section)
                return f"section {section} has its {cap}" if cap else f"section {section} stays out"
            case Reason.SOURCE_FULL:
                source, most = self.sources[article.id], self.rules.max_per_source
                return f"{source} has its {most}"
            case Reason.DIGEST_FULL:
                return f"the digest has its {self.rules.max_articles}"

    def _sent(self, article_id: int) -> str:
        used = self.used[article_id]
        told = f", told by {self._named(used.told_by)}" if used.told_by else ""
        return f"sent on {used.at:%Y-%m-%d} in campaign {used.campaign_id}{told}"

    def _named(self, article_id: int) -> str:
        source = self.sources.get(article_id)
        return f"{article_id} ({source})" if source else str(article_id)


def _span(length: timedelta | None) -> str:
    hours = round((length or timedelta()) / timedelta(hours=1))
    return f"{hours // 24} days" if hours >= 48 and hours % 24 == 0 else f"{hours} hours"
