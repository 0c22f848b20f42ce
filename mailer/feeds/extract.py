"""Article pages: what the page says of itself first (JSON-LD, Open Graph), then its text."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import lxml.html
import trafilatura
from lxml.etree import LxmlError

from mailer.domain.articles import ArticleDraft
from mailer.domain.errors import Refusal
from mailer.domain.urls import BadUrl, canonical
from mailer.feeds.figures import lead_image
from mailer.feeds.linked import LinkedArticle, as_text, linked_article
from mailer.feeds.text import folded, language_tag, plain, shortened
from mailer.feeds.words import author

_LARGEST = 5_000_000
_SHORTEST_TEXT = 200
_ENDS = (".", "!", "?", "…", ":", "؟", "۔", "።", "፡፡", "।", "。", "！", "？")
_LONGEST_BYLINE = 120
_BYLINE = (
    ".//*[@itemprop='author'] | .//*[@rel='author'] | .//*[contains(@class, 'byline')]"
    " | .//*[contains(@class, 'author-name')]"
)
_FREE_TIERS = {"free": True, "metered": True, "locked": False}
"""Of `article:content_tier`; who has stories left this month reads a metered one."""


class NoArticle(Refusal):
    """The page holds no article that can be read."""


def extract_article(body: bytes, *, url: str | None, shown: str = "") -> ArticleDraft:
    """Read the article of a page; `url` is where it came from, None where nobody knows.

    `shown` is what errors call it, such as a file's name.

    Raises NoArticle with one sentence.
    """
    shown = shown or url or "The page"
    try:
        return _extracted(body, url, shown)
    except NoArticle:
        raise
    except Exception as error:  # parsers fail on hostile bytes in ways of their own
        raise NoArticle(
            f"{shown} cannot be read ({type(error).__name__}): give the address of an article."
        ) from error


def _extracted(body: bytes, url: str | None, shown: str) -> ArticleDraft:
    if len(body) > _LARGEST:
        raise NoArticle(f"{shown} is larger than {_LARGEST // 1_000_000} MB: no article is.")
    page = _parsed(body, shown)
    linked = linked_article(page)
    text = trafilatura.extract(body, include_comments=False, include_tables=False) or ""
    paragraphs = [folded(line) for line in text.splitlines() if _is_sentence(line)]
    says_article = bool(linked) or _meta(page, "og:type") == "article"
    if len("".join(paragraphs)) < (_SHORTEST_TEXT if says_article else 2 * _SHORTEST_TEXT):
        raise NoArticle(
            f"{shown} holds no article: give the address of one story, not of a front page."
        )
    address = _address(page, linked, url, shown)
    title = _title(page, linked)
    if not title:
        raise NoArticle(f"{shown} has no title: it is no article that can be read.")
    summary = _meta(page, "og:description", "description", "twitter:description")
    summary = summary or linked.text("description")
    language = _language(page, linked)
    free = _is_free(page, linked)
    return ArticleDraft(
        canonical_url=address,
        title=title[:300],
        summary=shortened(summary or next(iter(paragraphs), "")),
        image=lead_image(
            page,
            linked.image,
            address,
            address=_meta(page, "og:image", "twitter:image"),
            alt=_meta(page, "og:image:alt", "twitter:image:alt"),
        ),
        author=_author(page, linked, language),
        published_at=_published(page, linked),
        section=_section(page, linked),
        language=language,
        paywalled=None if free is None else not free,
    )


def _is_sentence(line: str) -> bool:
    """Say whether a line of text is a paragraph, not a heading or a button.

    Scripts without capitals write the same in fewer letters.
    """
    shortest = 60 if line.upper() != line.lower() else 35
    return len(line) > shortest and line.rstrip(" ”\"»’')").endswith(_ENDS)


def _parsed(body: bytes, shown: str) -> Any:
    decoded = trafilatura.utils.decode_file(body)
    try:
        return lxml.html.document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", decoded))
    except (LxmlError, ValueError):
        raise NoArticle(f"{shown} is no web page: give the address of an article.") from None


def _meta(page: Any, *names: str) -> str:
    for name in names:
        for element in page.iterfind(".//meta"):
            if name in (element.get("property"), element.get("name"), element.get("itemprop")):
                value = plain(element.get("content") or "")
                if value:
                    return value
    return ""


def _address(page: Any, linked: LinkedArticle, url: str | None, shown: str) -> str:
    candidates = [
        element.get("href") or "" for element in page.iterfind(".//link[@rel='canonical']")
    ]
    candidates += [_meta(page, "og:url"), as_text(linked.values.get("url")), url or ""]
    for candidate in candidates:
        try:
            return canonical(urljoin(url or "", candidate))
        except (BadUrl, ValueError):
            continue
    raise NoArticle(f"{shown} does not say its own address: give it with --url.")


def _title(page: Any, linked: LinkedArticle) -> str:
    for candidate in (linked.text("headline"), _meta(page, "og:title")):
        if candidate:
            return _without_site(candidate, _meta(page, "og:site_name"))
    heading = page.find(".//h1")
    if heading is not None and folded(heading.text_content()):
        return folded(heading.text_content())
    title = page.find(".//title")
    return re.split(r"\s[|–—-]\s", folded(title.text_content()))[0] if title is not None else ""


def _without_site(title: str, site: str) -> str:
    """Return the title without what a site hangs behind it: ` | SITE | 10.06.2013`."""
    title = re.split(r"\s\|\s", title)[0]
    return re.sub(rf"\s[–—-]\s{re.escape(site)}$", "", title) if site else title


def _author(page: Any, linked: LinkedArticle, language: str) -> str:
    names = [author(name, language) for name in linked.authors if "://" not in name]
    named = ", ".join(dict.fromkeys(name for name in names if name))
    stated = author(_meta(page, "author", "article:author"), language)
    found = named or ("" if "://" in stated else stated) or _byline(page, language)
    return re.sub(r"\s*\((?:www\.)[^)]*\)", "", found)[:120]


def _byline(page: Any, language: str) -> str:
    """Return who the page's readers are told has written it."""
    for element in page.xpath(_BYLINE):
        links = [folded(link.text_content()) for link in element.iter("a")]
        text = ", ".join(link for link in links if link) or folded(element.text_content())
        named = re.split(r"\s*[|·•]\s*|\s+[–—-]\s+|,?\s+\d", author(text, language))[0]
        if named and len(text) <= _LONGEST_BYLINE:
            return author(named, language)
    return ""


def _is_free(page: Any, linked: LinkedArticle) -> bool | None:
    """Return whether everybody may read the story; None where nothing is said."""
    tier = _FREE_TIERS.get(_meta(page, "article:content_tier").lower())
    if tier is not None:
        return tier
    stated = {"true": True, "false": False}.get(_meta(page, "isAccessibleForFree").lower())
    return linked.is_free if stated is None else stated


def _published(page: Any, linked: LinkedArticle) -> datetime | None:
    guessed = trafilatura.extract_metadata(page)
    for text in (
        as_text(linked.values.get("datePublished")),
        _meta(page, "article:published_time", "date", "datePublished"),
        as_text(guessed.date) if guessed else "",
    ):
        try:
            moment = datetime.fromisoformat(text.strip())
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
    return None


def _section(page: Any, linked: LinkedArticle) -> str:
    return (_meta(page, "article:section") or linked.text("articleSection"))[:60]


def _language(page: Any, linked: LinkedArticle) -> str:
    said = (page.get("lang"), _meta(page, "og:locale"), linked.text("inLanguage"))
    return next((tag for each in said if (tag := language_tag(each or ""))), "")
