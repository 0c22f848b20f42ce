"""Articles: fetched from feeds, added by hand, one row per canonical address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.articles import ArticleDraft, Image
from mailer.domain.errors import Refusal
from mailer.domain.urls import canonical
from mailer.feeds import Fetched, NotModified, ParsedFeed, extract_article, parse_feed
from mailer.services.lookup import NotFound
from mailer.services.newsletters import BadValue, one_line
from mailer.store.engine import Sessions
from mailer.store.models import Article, Feed, Newsletter
from mailer.store.once import insert_once

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
    with sessions() as session:
        statement = select(Feed).order_by(Feed.id)
        if newsletter_id is not None:
            statement = statement.where(Feed.newsletter_id == newsletter_id)
        feeds = list(session.scalars(statement))
    reports = []
    for number, feed in enumerate(feeds):
        progress(number, len(feeds))
        try:
            fetched = _read(feed, fetch)
            parsed = (
                None
                if isinstance(fetched, NotModified)
                else parse_feed(
                    fetched.body, url=fetched.final_url, content_type=fetched.content_type
                )
            )
        except Refusal as refusal:
            with sessions.begin() as session:
                row = session.get(Feed, feed.id)
                if row is not None:
                    row.last_error, row.last_error_at = str(refusal), now()
            reports.append(FeedReport(feed.location, error=str(refusal)))
            continue
        with sessions.begin() as session:
            reports.append(_keep(session, feed.id, fetched, parsed, now()))
    progress(len(feeds), len(feeds))
    return reports


def read_page(location: str, *, fetch: Fetch, url: str | None = None) -> ArticleDraft:
    """Read an article from an address or a saved file; `url` says where the file came from."""
    if location.startswith(("http://", "https://")):
        fetched = fetch(location)
        assert isinstance(fetched, Fetched), "nothing was said of an earlier version"
        return extract_article(fetched.body, url=fetched.final_url)
    return extract_article(_file(Path(location)), url=canonical(url) if url else None)


def add_article(
    session: Session,
    newsletter: Newsletter,
    draft: ArticleDraft,
    *,
    now: datetime,
    feed_id: int | None = None,
) -> tuple[Article, bool]:
    """Keep the article; return it and whether it is new. A known one is brought up to date."""
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
    if not added:
        for field, value in values.items():
            if value:  # a poorer reading does not empty a richer one
                setattr(article, field, value)
    return article, added


def list_articles(session: Session, newsletter: Newsletter, limit: int = 100) -> list[Article]:
    """Return the newest articles."""
    return list(
        session.scalars(
            select(Article)
            .where(Article.newsletter_id == newsletter.id)
            .order_by(Article.published_at.desc().nulls_last(), Article.id.desc())
            .limit(limit)
        )
    )


def find_article(session: Session, name: str) -> Article:
    """Return an article by number; raises NotFound."""
    article = session.get(Article, int(name)) if name.isdigit() else None
    if article is None:
        raise NotFound(f"There is no article “{name}”: see `mailer article list NEWSLETTER`.")
    return article


def edit_article(session: Session, article: Article, changes: Mapping[str, str]) -> Article:
    """Change what is named; campaigns that were made keep their copies."""
    for field, value in changes.items():
        if field not in EDITABLE:
            raise BadValue(f"An article has no “{field}”: there are {', '.join(EDITABLE)}.")
        setattr(article, field, one_line(value, field))
    if not article.title:
        raise BadValue("An article needs a title.")
    session.flush()
    return article


def remove_article(session: Session, article: Article) -> None:
    """Remove the article; campaigns that were made keep their copies."""
    session.delete(article)


def _keep(
    session: Session,
    feed_id: int,
    fetched: Fetched | NotModified,
    parsed: ParsedFeed | None,
    now: datetime,
) -> FeedReport:
    feed = session.get(Feed, feed_id)
    newsletter = session.get(Newsletter, feed.newsletter_id) if feed else None
    if feed is None or newsletter is None:
        return FeedReport("", error="The feed was removed while it was read.")
    feed.last_success_at, feed.last_error = now, ""
    if isinstance(fetched, NotModified) or parsed is None:
        return FeedReport(feed.location)
    feed.title = parsed.title or feed.title
    feed.etag, feed.last_modified = fetched.etag, fetched.last_modified
    kept = [
        add_article(session, newsletter, draft, feed_id=feed.id, now=now)[1]
        for draft in parsed.entries
    ]
    return FeedReport(
        feed.location, added=sum(kept), updated=len(kept) - sum(kept), skipped=parsed.skipped
    )


def _read(feed: Feed, fetch: Fetch) -> Fetched | NotModified:
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
        if path.stat().st_size > _LARGEST_FILE:
            raise BadValue(f"{path} is larger than {_LARGEST_FILE // 1_000_000} MB.")
        return path.read_bytes()
    except OSError as error:
        raise BadValue(f"{path} cannot be read ({error.strerror}): check its name.") from None


def _image(image: Image | None) -> dict[str, Any] | None:
    return asdict(image) if image else None
