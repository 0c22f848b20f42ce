"""Articles as a campaign holds them: copied once, so that every reader gets the same.

Whatever becomes of the article, its page or its image afterwards does not reach the copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.links import Links
from mailer.services.articles.images import Images, ShownImage, image_of, left_out_of
from mailer.services.articles.sources import sources_of
from mailer.services.newsletters.lookup import NotFound
from mailer.store.models import Article, Newsletter, StoredImage


class Frozen(NamedTuple):
    """The copies, the kept images that they show, and the images that they go without."""

    articles: list[dict[str, Any]]
    images: list[StoredImage]
    left_out: list[dict[str, Any]]


def find_articles(
    session: Session, newsletter: Newsletter, article_ids: Sequence[int]
) -> dict[int, Article]:
    """Return the newsletter's articles by number; raises NotFound unless all are there."""
    found = {
        article.id: article
        for article in session.scalars(
            select(Article).where(
                Article.id.in_(article_ids),
                Article.newsletter_id == newsletter.id,
                Article.removed_at.is_(None),
            )
        )
    }
    missing = [str(article_id) for article_id in article_ids if article_id not in found]
    if missing:
        raise NotFound(
            f"Newsletter {newsletter.slug} has no article {', '.join(missing)}: "
            f"see `mailer article list {newsletter.slug}`."
        )
    return found


def freeze_articles(
    session: Session,
    newsletter: Newsletter,
    article_ids: Sequence[int],
    *,
    merged: Mapping[int, Sequence[int]],
    images: Images,
) -> Frozen:
    """Copy the articles, in this order; raises NotFound.

    `merged`: the articles whose story another one tells. `images`: what was fetched; one that is
    not among them is left out.
    """
    found = find_articles(session, newsletter, article_ids)
    sources = sources_of(session, found.values(), merged)
    ordered = [found[article_id] for article_id in dict.fromkeys(article_ids)]
    copies = [{**_copy(article, images), "sources": sources[article.id]} for article in ordered]
    return Frozen(copies, images_in(session, {"articles": copies}), left_out_of(ordered, images))


def images_in(session: Session, content: Mapping[str, Any]) -> list[StoredImage]:
    """Return the kept images that the copies show."""
    files = [copy["image"].get("file", "") for copy in content.get("articles", []) if copy["image"]]
    shown = {file.partition(".")[0] for file in files}
    kept = select(StoredImage).where(StoredImage.sha256.in_(shown)).order_by(StoredImage.sha256)
    return list(session.scalars(kept)) if shown else []


def shown_articles(content: Mapping[str, Any], links: Links) -> list[dict[str, Any]]:
    """Return the copies as templates read them, with the addresses of our images.

    A campaign of an earlier version says less of them, and has the publisher's addresses.
    """
    return [
        {"paywalled": False, "sources": [], **copy, "image": _addressed(copy["image"], links)}
        for copy in content.get("articles", [])
    ]


def _addressed(image: Mapping[str, Any] | None, links: Links) -> dict[str, Any] | None:
    if image is None or "file" not in image:
        return None if image is None else dict(image)
    return {**image, "url": links.image(image["file"])}


def _copied_image(article: Article, images: Images) -> dict[str, Any] | None:
    """Return the image of an article; it never goes without words for those who do not see it."""
    image, said = image_of(article, images), article.image or {}
    if not isinstance(image, ShownImage):
        return None
    return {
        **image.place,
        "alt": said.get("alt") or said.get("caption") or article.title,
        "caption": said.get("caption", ""),
        "credit": said.get("credit", ""),
        "width": image.width,
        "height": image.height,
    }


def _copy(article: Article, images: Images) -> dict[str, Any]:
    return {
        "id": article.id,
        "title": article.title,
        "summary": article.summary,
        "url": article.canonical_url,
        "section": article.section,
        "author": article.author,
        "published_at": article.published_at.isoformat() if article.published_at else "",
        "language": article.language,
        "paywalled": article.paywalled,
        "image": _copied_image(article, images),
    }
