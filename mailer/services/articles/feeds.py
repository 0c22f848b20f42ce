"""Feeds: added, read, and how they are.

The network stands between two transactions, never in one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.domain.feed_health import (
    NOT_AGAIN_WITHIN,
    READ_EVERY,
    is_broken,
    wait_after_failures,
)
from mailer.domain.urls import canonical
from mailer.feeds import Fetched, FetchError, NotModified, ParsedFeed, parse_feed
from mailer.services.articles.articles import Fetch, Kept, add_article, read_file
from mailer.services.newsletters.lookup import NotFound
from mailer.services.newsletters.newsletters import BadValue, one_line
from mailer.store.engine import Sessions, reading
from mailer.store.models import Article, ArticleSource, Feed, Newsletter
from mailer.store.once import insert_once

_log = structlog.get_logger()

_AT_ONCE = 8  # feeds that are read at the same time
_BUSY = timedelta(minutes=2)
EDITABLE = ("name", "section")


@dataclass(frozen=True, slots=True)
class FeedReport:
    """What reading one feed brought; `error` is one sentence, or empty."""

    location: str
    added: int = 0
    updated: int = 0
    known: int = 0
    skipped: tuple[str, ...] = ()
    error: str = ""


def add_feed(
    session: Session, newsletter: Newsletter, location: str, *, name: str = "", section: str = ""
) -> Feed:
    """Add a feed by address or file; the same one again is the same feed.

    `name`: what readers and operators see, else the feed's own title; `section`: of all its
    articles, else what the feed says of each.
    """
    location = _location(location)
    insert_once(
        session,
        Feed,
        {
            "newsletter_id": newsletter.id,
            "location": location,
            "title": "",
            "etag": "",
            "last_modified": "",
            "last_error": "",
        },
    )
    feed = session.scalars(
        select(Feed).where(Feed.newsletter_id == newsletter.id, Feed.location == location)
    ).one()
    given = {"name": name, "section": section}
    return edit_feed(session, feed, {field: value for field, value in given.items() if value})


def edit_feed(session: Session, feed: Feed, changes: dict[str, str]) -> Feed:
    """Change what is named; a section also of the articles that it has brought."""
    for field, value in changes.items():
        if field not in EDITABLE:
            raise BadValue(f"A feed has no “{field}”: there are {', '.join(EDITABLE)}.")
        setattr(feed, field, one_line(value, field, 60))
    if "section" in changes:
        feed.etag = feed.last_modified = ""  # so that it is read again as a whole
        for article in session.scalars(select(Article).where(Article.feed_id == feed.id)):
            if feed.section and "section" not in article.edited_fields:
                article.section = feed.section
    session.flush()
    return feed


def list_feeds(session: Session, newsletter: Newsletter | None = None) -> list[Feed]:
    """Return the feeds (of one newsletter), oldest first."""
    statement = select(Feed).order_by(Feed.id)
    if newsletter is not None:
        statement = statement.where(Feed.newsletter_id == newsletter.id)
    return list(session.scalars(statement))


def find_feed(session: Session, newsletter: Newsletter, name: str) -> Feed:
    """Return a feed of the newsletter by number, location or name; raises NotFound."""
    for feed in list_feeds(session, newsletter):
        if name in (str(feed.id), feed.location, feed.name or feed.title):
            return feed
    raise NotFound(f"There is no feed “{name}”: see `mailer feed list {newsletter.slug}`.")


def remove_feed(session: Session, newsletter: Newsletter, name: str) -> None:
    """Remove a feed; its articles stay, as another feed's where another carries them."""
    feed = find_feed(session, newsletter, name)
    other = (
        select(func.min(ArticleSource.feed_id))
        .where(ArticleSource.article_id == Article.id, ArticleSource.feed_id != feed.id)
        .scalar_subquery()
    )
    session.execute(update(Article).where(Article.feed_id == feed.id).values(feed_id=other))
    session.delete(feed)


def article_counts(session: Session, feeds: Sequence[Feed]) -> dict[int, int]:
    """Return how many articles that are still there each feed has brought."""
    rows = session.execute(
        select(ArticleSource.feed_id, func.count())
        .join(Article, Article.id == ArticleSource.article_id)
        .where(ArticleSource.feed_id.in_([feed.id for feed in feeds]), Article.removed_at.is_(None))
        .group_by(ArticleSource.feed_id)
    )
    return dict(rows.all())


def broken_feeds(session: Session, *, now: datetime) -> list[dict[str, Any]]:
    """Return the feeds that have failed for a day or more: they will not mend by themselves."""
    failing = select(Feed, Newsletter.slug).join(Newsletter, Newsletter.id == Feed.newsletter_id)
    rows = session.execute(failing.where(Feed.failing_since.is_not(None)).order_by(Feed.id))
    return [
        {
            "feed_id": feed.id,
            "newsletter": slug,
            "location": feed.location,
            "failing_since": feed.failing_since,
            "last_error": feed.last_error,
        }
        for feed, slug in rows
        if is_broken(feed.failing_since, now)
    ]


def fetch_feeds(
    sessions: Sessions,
    *,
    newsletter_id: int | None,
    fetch: Fetch,
    now: Callable[[], datetime],
    spare: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[FeedReport]:
    """Read all feeds (of one newsletter); a broken one is noted on its row and stops no other.

    With `spare`, those are left alone that have just been read, or that fail and are to be left
    alone for a while. `progress` is told how many are read, of how many.
    """
    with reading(sessions) as session:
        statement = select(Feed).order_by(Feed.id)
        if newsletter_id is not None:
            statement = statement.where(Feed.newsletter_id == newsletter_id)
        if spare:
            statement = statement.where(_may_be_asked(now()))
        feeds = list(session.scalars(statement))
    return _read_all(sessions, feeds, fetch=fetch, now=now, progress=progress)


def has_due_feeds(session: Session, *, now: datetime) -> bool:
    """Say whether a feed's time has come."""
    return session.scalar(select(Feed.id).where(_is_due(now)).limit(1)) is not None


def read_due_feeds(
    sessions: Sessions, *, fetch: Fetch, now: Callable[[], datetime]
) -> list[FeedReport]:
    """Read the feeds whose time has come, each by whoever comes first."""
    moment = now()
    with sessions.begin() as session:
        taken = session.scalars(
            update(Feed)
            .where(_is_due(moment))
            .values(next_read_at=moment + _BUSY)
            .returning(Feed.id)
        ).all()
    with reading(sessions) as session:
        feeds = list(session.scalars(select(Feed).where(Feed.id.in_(taken)).order_by(Feed.id)))
    return _read_all(sessions, feeds, fetch=fetch, now=now)


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(Feed.next_read_at.is_(None), Feed.next_read_at <= now)


def _may_be_asked(now: datetime) -> ColumnElement[bool]:
    well = and_(
        Feed.failures == 0,
        or_(Feed.last_success_at.is_(None), Feed.last_success_at <= now - NOT_AGAIN_WITHIN),
    )
    return or_(well, and_(Feed.failures > 0, _is_due(now)))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What came of reading a feed: its entries, nothing new (None), or one sentence of trouble."""

    fetched: Fetched | NotModified | None = None
    parsed: ParsedFeed | None = None
    error: str = ""
    retry_after: timedelta | None = None


def _read_all(
    sessions: Sessions,
    feeds: Sequence[Feed],
    *,
    fetch: Fetch,
    now: Callable[[], datetime],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[FeedReport]:
    reports = []
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="feeds") as threads:
        for number, reading_of in enumerate(threads.map(partial(_read, fetch=fetch), feeds)):
            progress(number, len(feeds))
            feed = feeds[number]
            with sessions.begin() as session:
                reports.append(_keep(session, feed.id, feed.location, reading_of, now()))
    progress(len(feeds), len(feeds))
    return reports


def _read(feed: Feed, *, fetch: Fetch) -> _Reading:
    """Fetch and parse; whatever a stranger's bytes bring about is this feed's trouble alone."""
    try:
        fetched = _fetched(feed, fetch)
        if isinstance(fetched, NotModified):
            return _Reading(fetched)
        parsed = parse_feed(fetched.body, url=fetched.final_url, content_type=fetched.content_type)
    except Refusal as refusal:
        retry_after = refusal.retry_after if isinstance(refusal, FetchError) else None
        return _Reading(error=str(refusal), retry_after=retry_after)
    except Exception as error:
        _log.exception("feed cannot be read", feed=feed.location)
        reason = f"{type(error).__name__} in our own reader, see the log"
        return _Reading(error=f"{feed.location} cannot be read ({reason}).")
    return _Reading(fetched, parsed)


def _keep(
    session: Session, feed_id: int, location: str, read: _Reading, now: datetime
) -> FeedReport:
    feed = session.get(Feed, feed_id)
    newsletter = session.get(Newsletter, feed.newsletter_id) if feed else None
    if feed is None or newsletter is None:
        return FeedReport(location, error="The feed was removed while it was read.")
    if read.error:
        feed.last_error, feed.last_error_at = read.error, now
        feed.failures += 1
        feed.failing_since = feed.failing_since or now
        feed.next_read_at = now + wait_after_failures(feed.failures, read.retry_after)
        return FeedReport(location, error=read.error)
    feed.last_success_at, feed.last_error = now, ""
    feed.failures, feed.failing_since, feed.next_read_at = 0, None, now + READ_EVERY
    if read.parsed is None or not isinstance(read.fetched, Fetched):
        return FeedReport(location)
    feed.title = read.parsed.title or feed.title
    feed.etag, feed.last_modified = read.fetched.etag, read.fetched.last_modified
    kept = []
    for draft in read.parsed.entries:
        own = replace(draft, section=feed.section) if feed.section else draft
        kept.append(add_article(session, newsletter, own, feed_id=feed.id, now=now)[1])
    return FeedReport(
        location,
        added=kept.count(Kept.ADDED),
        updated=kept.count(Kept.UPDATED),
        known=kept.count(Kept.KNOWN),
        skipped=read.parsed.skipped,
    )


def _fetched(feed: Feed, fetch: Fetch) -> Fetched | NotModified:
    if feed.location.startswith(("http://", "https://")):
        return fetch(feed.location, etag=feed.etag, last_modified=feed.last_modified)
    path = Path(feed.location)
    return Fetched(path.as_uri(), read_file(path), "", "", "")


def _location(text: str) -> str:
    if text.startswith(("http://", "https://")):
        canonical(text)  # refuses what is no address
        return text.strip()
    if "://" in text:
        raise BadValue(f"“{text[:80]}” is neither a web address nor a file.")
    path = Path(text).expanduser().resolve()
    if not path.is_file():
        raise BadValue(f"There is no file {path}: give a feed's address (https://…) or a file.")
    return str(path)
