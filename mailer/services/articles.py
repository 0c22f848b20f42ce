"""Articles: fetched from feeds, added by hand, one row per canonical address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.articles import ArticleDraft, Image
from mailer.domain.errors import Refusal
from mailer.domain.urls import canonical
from mailer.feeds import Fetched, NotModified, ParsedFeed, extract_article, parse_feed
from mailer.services.lookup import NotFound, as_id
from mailer.services.newsletters import BadValue, one_line
from mailer.store.engine import Sessions, reading
from mailer.store.models import Article, Feed, Newsletter
from mailer.store.once import insert_once

_log = structlog.get_logger()

_AT_ONCE = 8  # feeds that are read at the same time
_LARGEST_FILE = 5_000_000
_FROM_READING = ("title", "summary", "image", "author", "section", "language", "published_at")
EDITABLE = ("title", "summary", "author", "section", "language")


class Fetch(Protocol):
    """Fetches an address, guarded by this installation's settings."""

    def __call__(
        self, url: str, *, etag: str = "", last_modified: str = ""
    ) -> Fetched | NotModified:
        """Return the body, or that it has not changed; raises FetchError."""


@dataclass(frozen=True, slots=True)
class FeedReport:
    """What reading one feed brought; `error` is one sentence, or empty."""

    location: str
    added: int = 0
    updated: int = 0
    skipped: tuple[str, ...] = ()
    error: str = ""


def add_feed(session: Session, newsletter: Newsletter, location: str) -> Feed:
    """Add a feed by address or file; the same one again is the same feed."""
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
    return session.scalars(
        select(Feed).where(Feed.newsletter_id == newsletter.id, Feed.location == location)
    ).one()


def list_feeds(session: Session, newsletter: Newsletter | None = None) -> list[Feed]:
    """Return the feeds (of one newsletter), oldest first."""
    statement = select(Feed).order_by(Feed.id)
    if newsletter is not None:
        statement = statement.where(Feed.newsletter_id == newsletter.id)
    return list(session.scalars(statement))


def remove_feed(session: Session, newsletter: Newsletter, name: str) -> None:
    """Remove a feed by number or location; its articles stay."""
    for feed in list_feeds(session, newsletter):
        if name in (str(feed.id), feed.location):
            session.delete(feed)
            return
    raise NotFound(f"There is no feed “{name}”: see `mailer feed list {newsletter.slug}`.")


def fetch_feeds(
    sessions: Sessions,
    *,
    newsletter_id: int | None,
    fetch: Fetch,
    now: Callable[[], datetime],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[FeedReport]:
    """Read all feeds (of one newsletter); a broken one is noted on its row and stops no other.

    The network stands between two transactions, never in one. `progress` is told how many are
    read, of how many.
    """
    with reading(sessions) as session:
        statement = select(Feed).order_by(Feed.id)
        if newsletter_id is not None:
            statement = statement.where(Feed.newsletter_id == newsletter_id)
        feeds = list(session.scalars(statement))
    reports = []
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="feeds") as threads:
        for number, reading_of in enumerate(threads.map(partial(_read, fetch=fetch), feeds)):
            progress(number, len(feeds))
            feed = feeds[number]
            with sessions.begin() as session:
                reports.append(_keep(session, feed.id, feed.location, reading_of, now()))
    progress(len(feeds), len(feeds))
    return reports


def read_page(location: str, *, fetch: Fetch, url: str | None = None) -> ArticleDraft:
    """Read an article from an address or a saved file; `url` says where the file came from."""
    if location.startswith(("http://", "https://")):
        fetched = fetch(location)
        assert isinstance(fetched, Fetched), "nothing was said of an earlier version"
        return extract_article(fetched.body, url=fetched.final_url)
    body = _file(Path(location))
    return extract_article(body, url=canonical(url) if url else None, shown=location)


def add_article(
    session: Session,
    newsletter: Newsletter,
    draft: ArticleDraft,
    *,
    now: datetime,
    feed_id: int | None = None,
) -> tuple[Article, bool]:
    """Keep the article; return it and whether it is new.

    A known one is brought up to date, except for what an editor has changed. One that was removed
    comes back only by hand (without `feed_id`).
    """
    values = {field: getattr(draft, field) for field in _FROM_READING}
    values["image"] = _image(draft.image)
    added = insert_once(
        session,
        Article,
        {
            "newsletter_id": newsletter.id,
            "feed_id": feed_id,
            "canonical_url": draft.canonical_url,
            "added_at": now,
            **values,
        },
    )
    article = session.scalars(
        select(Article)
        .where(Article.newsletter_id == newsletter.id, Article.canonical_url == draft.canonical_url)
        .execution_options(populate_existing=True)
    ).one()
    if added:
        return article, True
    if article.removed_at is not None:
        if feed_id is not None:
            return article, False
        article.removed_at = None
    for field, value in values.items():
        if value and field not in article.edited_fields:  # nor does a poor reading empty a rich one
            setattr(article, field, value)
    return article, False


def list_articles(session: Session, newsletter: Newsletter, limit: int = 100) -> list[Article]:
    """Return the newest articles."""
    return list(
        session.scalars(
            select(Article)
            .where(Article.newsletter_id == newsletter.id, Article.removed_at.is_(None))
            .order_by(Article.published_at.desc().nulls_last(), Article.id.desc())
            .limit(limit)
        )
    )


def find_article(session: Session, name: str) -> Article:
    """Return an article by number; raises NotFound."""
    article_id = as_id(name)
    article = session.get(Article, article_id) if article_id is not None else None
    if article is None or article.removed_at is not None:
        raise NotFound(f"There is no article “{name}”: see `mailer article list NEWSLETTER`.")
    return article


def edit_article(session: Session, article: Article, changes: Mapping[str, str]) -> Article:
    """Change what is named, for good; campaigns that were made keep their copies."""
    for field, value in changes.items():
        if field not in EDITABLE:
            raise BadValue(f"An article has no “{field}”: there are {', '.join(EDITABLE)}.")
        setattr(article, field, one_line(value, field))
    if not article.title:
        raise BadValue("An article needs a title.")
    article.edited_fields = sorted({*article.edited_fields, *changes})
    session.flush()
    return article


def remove_article(article: Article, *, now: datetime) -> None:
    """Remove the article for good: no feed brings it back. Campaigns keep their copies."""
    article.removed_at = now


@dataclass(frozen=True, slots=True)
class _Reading:
    """What came of reading a feed: its entries, nothing new (None), or one sentence of trouble."""

    fetched: Fetched | NotModified | None = None
    parsed: ParsedFeed | None = None
    error: str = ""


def _read(feed: Feed, *, fetch: Fetch) -> _Reading:
    """Fetch and parse; whatever a stranger's bytes bring about is this feed's trouble alone."""
    try:
        fetched = _fetched(feed, fetch)
        if isinstance(fetched, NotModified):
            return _Reading(fetched)
        parsed = parse_feed(fetched.body, url=fetched.final_url, content_type=fetched.content_type)
    except Refusal as refusal:
        return _Reading(error=str(refusal))
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
        return FeedReport(location, error=read.error)
    feed.last_success_at, feed.last_error = now, ""
    if read.parsed is None or not isinstance(read.fetched, Fetched):
        return FeedReport(location)
    feed.title = read.parsed.title or feed.title
    feed.etag, feed.last_modified = read.fetched.etag, read.fetched.last_modified
    kept = [
        add_article(session, newsletter, draft, feed_id=feed.id, now=now)[1]
        for draft in read.parsed.entries
    ]
    return FeedReport(
        location, added=sum(kept), updated=len(kept) - sum(kept), skipped=read.parsed.skipped
    )


def _fetched(feed: Feed, fetch: Fetch) -> Fetched | NotModified:
    if feed.location.startswith(("http://", "https://")):
        return fetch(feed.location, etag=feed.etag, last_modified=feed.last_modified)
    path = Path(feed.location)
    return Fetched(path.as_uri(), _file(path), "", "", "")


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


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(_LARGEST_FILE + 1)
        if len(body) > _LARGEST_FILE:
            raise BadValue(f"{path} is larger than {_LARGEST_FILE // 1_000_000} MB.")
        return body
    except OSError as error:
        raise BadValue(f"{path} cannot be read ({error.strerror}): check its name.") from None


def _image(image: Image | None) -> dict[str, Any] | None:
    return asdict(image) if image else None
