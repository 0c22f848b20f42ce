"""Who tells a story: the feed or site that an article comes from, and whoever else carries it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.store.models import Article, ArticleSource, Feed


def sources_of(
    session: Session, articles: Iterable[Article], merged: Mapping[int, Sequence[int]]
) -> dict[int, list[dict[str, str]]]:
    """Return who tells each article's story, as `{"name", "url"}`: its own source comes first.

    Then the other feeds that carry it, and those of the articles that were `merged` into it.
    """
    articles = list(articles)
    others = {each for ids in merged.values() for each in ids}
    found = session.scalars(select(Article).where(Article.id.in_(others))).all() if others else ()
    known = {article.id: article for article in (*articles, *found)}
    names: dict[int, str] = {}
    for newsletter_id in {article.newsletter_id for article in articles}:
        names |= feed_names(session, newsletter_id)
    carried: dict[int, list[int]] = {}
    pairs = select(ArticleSource).where(ArticleSource.article_id.in_(list(known)))
    for pair in session.scalars(pairs.order_by(ArticleSource.feed_id)):
        carried.setdefault(pair.article_id, []).append(pair.feed_id)
    told: dict[int, list[dict[str, str]]] = {}
    for article in articles:
        by_name: dict[str, str] = {}
        for each in (article.id, *merged.get(article.id, ())):
            if each not in known:
                continue
            url = known[each].canonical_url
            by_name.setdefault(own_source(known[each], names), url)
            for feed_id in carried.get(each, ()):
                by_name.setdefault(names.get(feed_id, ""), url)
        told[article.id] = [{"name": name, "url": url} for name, url in by_name.items() if name]
    return told


def own_source(article: Article, names: Mapping[int, str]) -> str:
    """Return where an article comes from: its feed's name, else the site of its address."""
    return names.get(article.feed_id or 0, "") or _site(article.canonical_url)


def feed_names(session: Session, newsletter_id: int) -> dict[int, str]:
    """Return what readers know the newsletter's feeds by, by number."""
    feeds = session.scalars(select(Feed).where(Feed.newsletter_id == newsletter_id))
    return {feed.id: _name(feed) for feed in feeds}


def _name(feed: Feed) -> str:
    return feed.name or feed.title or _site(feed.location)


def _site(address: str) -> str:
    """Return the site of an address, or the file's name."""
    host = urlsplit(address).hostname if "://" in address else None
    return (host or address.rsplit("/", 1)[-1]).removeprefix("www.")
