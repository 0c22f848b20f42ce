"""Articles: fetched from feeds, added by hand, one row per canonical address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.articles import ArticleDraft, Image
from mailer.domain.urls import canonical
from mailer.feeds import Fetched, NotModified, extract_article
from mailer.services.newsletters.lookup import NotFound, as_id
from mailer.services.newsletters.newsletters import BadValue, one_line
from mailer.store.models import Article, ArticleSource, Newsletter
from mailer.store.once import insert_once

_LARGEST_FILE = 5_000_000
_FROM_READING = (
    "title", "summary", "image", "author", "section", "language", "published_at", "paywalled",
)  # fmt: skip
_NEWS = ("title", "summary", "published_at")
"""What makes an article another one to readers where it changes."""
EDITABLE = ("title", "summary", "author", "section", "language")


class Fetch(Protocol):
    """Fetches an address, guarded by this installation's settings."""

    def __call__(
        self, url: str, *, etag: str = "", last_modified: str = ""
    ) -> Fetched | NotModified:
        """Return the body, or that it has not changed; raises FetchError."""


class Kept(StrEnum):
    """What became of a reading of an article."""

    ADDED = "added"
    UPDATED = "updated"
    """Known, and its title, summary or date has changed since."""
    KNOWN = "known"


def read_page(location: str, *, fetch: Fetch, url: str | None = None) -> ArticleDraft:
    """Read an article from an address or a saved file; `url` says where the file came from."""
    if location.startswith(("http://", "https://")):
        fetched = fetch(location)
        assert isinstance(fetched, Fetched), "nothing was said of an earlier version"
        return extract_article(fetched.body, url=fetched.final_url)
    body = read_file(Path(location))
    return extract_article(body, url=canonical(url) if url else None, shown=location)


def add_article(
    session: Session,
    newsletter: Newsletter,
    draft: ArticleDraft,
    *,
    now: datetime,
    feed_id: int | None = None,
) -> tuple[Article, Kept]:
    """Keep the article; return it and whether that is news.

    A known one is brought up to date, except for what an editor has changed. One that was removed
    comes back only by hand (without `feed_id`).
    """
    values = {field: getattr(draft, field) for field in _FROM_READING}
    values["image"] = _image(draft.image)
    if draft.published_at is not None:  # in whole seconds, as it comes back from any database
        values["published_at"] = draft.published_at.replace(microsecond=0)
    added = insert_once(
        session,
        Article,
        {
            "newsletter_id": newsletter.id,
            "feed_id": feed_id,
            "canonical_url": draft.canonical_url,
            "added_at": now,
            **values,
            "paywalled": bool(draft.paywalled),
        },
    )
    article = session.scalars(
        select(Article)
        .where(Article.newsletter_id == newsletter.id, Article.canonical_url == draft.canonical_url)
        .execution_options(populate_existing=True)
    ).one()
    if feed_id is not None:
        insert_once(session, ArticleSource, {"article_id": article.id, "feed_id": feed_id})
    if added:
        return article, Kept.ADDED
    if article.removed_at is not None:
        if feed_id is not None:
            return article, Kept.KNOWN
        article.removed_at = None
    changed = [
        field
        for field, value in values.items()  # nor does a poor reading empty a rich one
        if (value or value is False)
        and field not in article.edited_fields
        and value != getattr(article, field)
    ]
    for field in changed:
        setattr(article, field, values[field])
    if not any(field in _NEWS for field in changed):
        return article, Kept.KNOWN
    article.updated_at = now
    return article, Kept.UPDATED


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


def read_file(path: Path) -> bytes:
    """Return what a file that somebody named holds; raises BadValue."""
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
