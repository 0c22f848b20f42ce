"""Article pages: what the page says of itself first (JSON-LD, Open Graph), then its text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import lxml.html
import trafilatura
from lxml.etree import LxmlError

from mailer.domain.articles import ArticleDraft, Image
from mailer.domain.errors import Refusal
from mailer.domain.urls import BadUrl, canonical
from mailer.feeds.text import credit, folded, plain, shortened

_LARGEST = 5_000_000
_SHORTEST_TEXT = 200
_ARTICLE_TYPES = (
    "Article",
    "NewsArticle",
    "ReportageNewsArticle",
    "BlogPosting",
    "LiveBlogPosting",
)
_CREDIT_IN_TEXT = re.compile(
    r"(?:copyright|photo|image|crédits?|credit)\s*:\s*(.+)$|©\s*(.+)$", re.I
)


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
    linked = _linked_article(page)
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
    summary = summary or plain(_string(linked.get("description")))
    return ArticleDraft(
        canonical_url=address,
        title=title[:300],
        summary=shortened(summary or next(iter(paragraphs), "")),
        image=_image(page, linked, address),
        author=_author(page, linked),
        published_at=_published(page, linked),
        section=_section(page, linked),
        language=_language(page, linked),
    )


def _is_sentence(line: str) -> bool:
    """Say whether a line of text is a paragraph, not a heading or a button."""
    return len(line) > 60 and line.rstrip(" ”\"»’')").endswith((".", "!", "?", "…", "؟", "。", ":"))


def _parsed(body: bytes, shown: str) -> Any:
    decoded = trafilatura.utils.decode_file(body)
    try:
        return lxml.html.document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", decoded))
    except (LxmlError, ValueError):
        raise NoArticle(f"{shown} is no web page: give the address of an article.") from None


def _linked_article(page: Any) -> dict[str, Any]:
    """Return the page's own description of its article (schema.org, as JSON-LD)."""
    for script in page.iterfind(".//script[@type='application/ld+json']"):
        try:
            document = json.loads(script.text or "")
        except (ValueError, RecursionError):
            continue
        for node in _nodes(document):
            kinds = node.get("@type")
            kinds = kinds if isinstance(kinds, list) else [kinds]
            if any(kind in _ARTICLE_TYPES for kind in kinds):
                return node
    return {}


def _nodes(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, list):
        for part in document:
            yield from _nodes(part)
    elif isinstance(document, dict):
        yield document
        yield from _nodes(document.get("@graph", []))


def _meta(page: Any, *names: str) -> str:
    for name in names:
        for element in page.iterfind(".//meta"):
            if name in (element.get("property"), element.get("name"), element.get("itemprop")):
                value = plain(element.get("content") or "")
                if value:
                    return value
    return ""


def _address(page: Any, linked: dict[str, Any], url: str | None, shown: str) -> str:
    candidates = [
        element.get("href") or "" for element in page.iterfind(".//link[@rel='canonical']")
    ]
    candidates += [_meta(page, "og:url"), _string(linked.get("url")), url or ""]
    for candidate in candidates:
        try:
            return canonical(urljoin(url or "", candidate))
        except (BadUrl, ValueError):
            continue
    raise NoArticle(f"{shown} does not say its own address: give it with --url.")


def _title(page: Any, linked: dict[str, Any]) -> str:
    for candidate in (plain(_string(linked.get("headline"))), _meta(page, "og:title")):
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


def _author(page: Any, linked: dict[str, Any]) -> str:
    authors = linked.get("author")
    names = [
        plain(_string(author.get("name")) if isinstance(author, dict) else _string(author))
        for author in (authors if isinstance(authors, list) else [authors])
        if author
    ]
    named = ", ".join(dict.fromkeys(name for name in names if name and "://" not in name))
    stated = _meta(page, "author", "article:author")
    found = named or (stated if "://" not in stated else "")
    return re.sub(r"\s*\((?:www\.)[^)]*\)", "", found)[:120]


def _published(page: Any, linked: dict[str, Any]) -> datetime | None:
    guessed = trafilatura.extract_metadata(page)
    for text in (
        _string(linked.get("datePublished")),
        _meta(page, "article:published_time", "date", "datePublished"),
        _string(guessed.date) if guessed else "",
    ):
        try:
            moment = datetime.fromisoformat(text.strip())
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
    return None


def _section(page: Any, linked: dict[str, Any]) -> str:
    section = linked.get("articleSection")
    section = section[0] if isinstance(section, list) and section else section
    return (_meta(page, "article:section") or plain(_string(section)))[:60]


def _language(page: Any, linked: dict[str, Any]) -> str:
    return folded(page.get("lang") or _string(linked.get("inLanguage")))[:35]


def _image(page: Any, linked: dict[str, Any], base: str) -> Image | None:
    """Return the picture that the page puts forward, with its figure's caption."""
    declared = linked.get("image")
    declared = declared[0] if isinstance(declared, list) and declared else declared
    if isinstance(declared, dict):
        declared = declared.get("url")
    address = _meta(page, "og:image") or _string(declared)
    figure = _figure(page, address, base)
    img = figure.find(".//img") if figure is not None else None
    if not address and img is not None:
        address = img.get("src") or ""
    try:
        address = urljoin(base, address)
    except ValueError:
        return None
    if not address.startswith(("http://", "https://")) or len(address) > 2_000:
        return None
    caption, credited = _caption(figure)
    alt = folded(img.get("alt") or "") if img is not None else ""
    return Image(
        url=address,
        alt=(alt or _meta(page, "og:image:alt"))[:300],
        caption=caption[:300],
        credit=credited[:120],
    )


def _figure(page: Any, address: str, base: str) -> Any:
    """Return the figure of the lead image: the one that shows the same file, else the first."""
    figures = [figure for figure in page.iter("figure") if figure.find(".//img") is not None]
    name = address.rsplit("/", 1)[-1].split("?")[0]
    for figure in figures:
        sources = " ".join(
            f"{img.get('src')} {img.get('srcset')}" for img in figure.iter("img", "source")
        )
        if name and name in sources:
            return figure
    return figures[0] if figures else None


def _caption(figure: Any) -> tuple[str, str]:
    """Return caption and credit of a figure, apart."""
    caption = figure.find(".//figcaption") if figure is not None else None
    if caption is None:
        return "", ""
    credited = ""
    for element in list(caption.iter()):
        marks = f"{element.get('class') or ''} {element.get('itemprop') or ''}".lower()
        if element is not caption and re.search(r"credit|copyright", marks):
            credited = credited or credit(element.text_content())
            element.drop_tree()
    text = folded(caption.text_content())
    if not credited:
        found = _CREDIT_IN_TEXT.search(text)
        if found:
            credited = credit(found.group(1) or found.group(2))
            text = text[: found.start()]
    return text.strip(" |–—-•"), credited


def _string(value: Any) -> str:
    return folded(value) if isinstance(value, str) else ""
