"""Feeds: RSS and Atom by feedparser, JSON Feed by hand (jsonfeed.org, version 1.1)."""

from __future__ import annotations

import calendar
import codecs
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import feedparser
import lxml.html
from lxml.etree import LxmlError

from mailer.domain.articles import ArticleDraft, Image
from mailer.domain.errors import Refusal
from mailer.domain.urls import BadUrl, canonical
from mailer.feeds.sections import choose_sections
from mailer.feeds.text import folded, language_tag, plain, shortened
from mailer.feeds.words import author, credit

_LARGEST = 5_000_000
_MOST_ENTRIES = 500
_LONGEST_TITLE = 300
_ENTITY = re.compile(rb"<!ENTITY", re.I)
_LEFT_ENTITY = re.compile(r"&(?:#\d{2,6}|#x[0-9a-f]{2,6}|amp|quot|apos|lt|gt|nbsp);", re.I)
_APPEARED = re.compile(r"\s*The post .{1,300} (?:appeared first|first appeared) on .{1,200}$")
_SAYS_MORE = re.compile(r"\s*\[(?:…|\.\.\.)\]$")
_ENCODING = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})")
_EBCDIC = "<?xm".encode("cp037")


class UnreadableFeed(Refusal):
    """The bytes are not a feed that can be read."""


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """A feed's title and its articles; `skipped` says in a sentence each what was left out."""

    title: str
    language: str
    entries: tuple[ArticleDraft, ...]
    skipped: tuple[str, ...]


def parse_feed(body: bytes, *, url: str, content_type: str = "") -> ParsedFeed:
    """Read RSS, Atom or JSON Feed; raises UnreadableFeed with one sentence."""
    try:
        return _parsed(body, url, content_type)
    except UnreadableFeed:
        raise
    except Exception as error:  # parsers fail on hostile bytes in ways of their own
        raise UnreadableFeed(
            f"{url} is a feed with something unreadable in it ({type(error).__name__}): "
            "tell whoever publishes it."
        ) from error


def _parsed(body: bytes, url: str, content_type: str) -> ParsedFeed:
    if len(body) > _LARGEST:
        raise UnreadableFeed(f"{url} is larger than {_LARGEST // 1_000_000} MB: no feed is.")
    if body.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{" or "json" in content_type:
        return _json_feed(body, url)
    _refuse_entities(body, url)
    parsed = feedparser.parse(io.BytesIO(body), sanitize_html=False, resolve_relative_uris=False)
    if not parsed.get("version"):
        raise UnreadableFeed(
            f"{url} is no feed (RSS, Atom or JSON Feed): give the feed's own address, "
            "or add the page with `mailer article add`."
        )
    language = language_tag(parsed.feed.get("language", ""))
    return _collect(
        plain(parsed.feed.get("title", "")),
        language,
        parsed.entries,
        lambda entry: _from_xml(entry, parsed.feed.get("link") or url, language),
    )


def _refuse_entities(body: bytes, url: str) -> None:
    """Raise where the XML declares entities, or could do so without our seeing it.

    UTF-16 has a NUL beside each letter. In UTF-7 and EBCDIC a declaration is spelled in other
    octets than ASCII's, and feedparser would read it all the same.
    """
    bare = body.replace(b"\0", b"")
    if _ENTITY.search(bare):
        raise UnreadableFeed(f"{url} declares XML entities, which no feed needs: it is not read.")
    declared = _ENCODING.search(bare[:1_000])
    name = declared[1].decode() if declared else "utf-8"
    try:
        encoding = codecs.lookup(name).name
        hides = encoding == "utf-7" or not "<!ENTITY".encode(encoding).replace(b"\0", b"").endswith(
            b"<!ENTITY"
        )
    except (LookupError, UnicodeError):
        hides = False  # feedparser does not know it either, and guesses
    if hides or body.lstrip().startswith(_EBCDIC):
        raise UnreadableFeed(f"{url} is in an encoding that no feed is in: publish it as UTF-8.")


def _collect(title: str, language: str, entries: Any, read: Any) -> ParsedFeed:
    found: list[tuple[ArticleDraft, list[str]]] = []
    skipped = []
    for number, entry in enumerate(entries, 1):
        if number > _MOST_ENTRIES:
            skipped.append(f"only the first {_MOST_ENTRIES} entries were read")
            break
        try:
            draft, tags = read(entry)
        except BadUrl as refusal:
            skipped.append(f"entry {number}: {refusal}")
            continue
        except Exception:  # one broken entry does not take the others with it
            skipped.append(f"entry {number}: something in it cannot be read")
            continue
        if not draft.title:
            skipped.append(f"entry {number}: it has no title")
        else:
            found.append((draft, tags))
    drafts: dict[str, ArticleDraft] = {}
    sections = choose_sections([tags for _, tags in found])
    for (draft, _), section in zip(found, sections, strict=True):
        drafts.setdefault(draft.canonical_url, replace(draft, section=section))
    return ParsedFeed(title, language, tuple(drafts.values()), tuple(skipped))


def _from_xml(entry: Mapping[str, Any], base: str, language: str) -> tuple[ArticleDraft, list[str]]:
    """Return the article, and its categories: which is its section, the whole feed tells."""
    link = entry.get("feedburner_origlink") or entry.get("link") or ""
    if not link:
        raise BadUrl("it has no link")
    contents = [part.get("value", "") for part in entry.get("content", [])]
    summary = entry.get("summary", "") or (contents[0] if contents else "")
    markup = " ".join([summary, *contents])
    link = urljoin(base, link)
    tags = [plain(tag.get("label") or tag.get("term") or "") for tag in entry.get("tags", [])]
    spoken = _language(entry, language)
    draft = ArticleDraft(
        canonical_url=canonical(link),
        title=_title(entry.get("title", "")),
        summary=shortened(_summary(summary)),
        image=_media_image(entry, link) or _inner_image(markup, link),
        author=author(plain(entry.get("author", "")), spoken)[:120],
        published_at=_moment(entry.get("published_parsed") or entry.get("updated_parsed")),
        language=spoken,
    )
    return draft, _sensible(tags)


def _language(entry: Mapping[str, Any], language: str) -> str:
    detail = entry.get("title_detail") or {}
    return language_tag(detail.get("language") or "") or language


def _sensible(tags: list[str]) -> list[str]:
    return [tag for tag in tags if tag and "://" not in tag and len(tag) <= 40]


def _moment(parsed: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC) if parsed else None
    except (ValueError, OverflowError, OSError):
        return None


def _media_image(entry: Mapping[str, Any], base: str) -> Image | None:
    """Return the picture that the feed names: media RSS, a thumbnail, an enclosure."""
    candidates = [
        media
        for media in entry.get("media_content", [])
        if media.get("medium") == "image" or str(media.get("type", "")).startswith("image/")
    ]
    candidates += entry.get("media_thumbnail", [])
    candidates += [
        {"url": link.get("href")}
        for link in entry.get("links", [])
        if link.get("rel") == "enclosure" and str(link.get("type", "")).startswith("image/")
    ]
    for media in candidates:
        address = _image_url(media.get("url") or "", base)
        if address:
            credits = entry.get("media_credit") or [{}]
            return Image(
                url=address,
                caption=plain(entry.get("media_description", "") or ""),
                credit=credit(plain(credits[0].get("content", "") or "")),
                width=_number(media.get("width")),
                height=_number(media.get("height")),
            )
    return None


def _inner_image(markup: str, base: str) -> Image | None:
    """Return the first picture in the entry's text that is not a counting pixel."""
    if "<img" not in markup.lower():
        return None
    try:
        tree = lxml.html.fromstring(f"<div>{markup}</div>")
    except (LxmlError, ValueError):
        return None
    for img in tree.iter("img"):
        width, height = _number(img.get("width")), _number(img.get("height"))
        address = _image_url(img.get("src") or "", base)
        if not address or (width or 999) < 32 or (height or 999) < 32:
            continue
        figure = next(img.iterancestors("figure"), None)
        caption = "" if figure is None else " ".join(figure.xpath(".//figcaption//text()"))
        return Image(
            url=address,
            alt=folded(img.get("alt") or "")[:300],
            caption=folded(img.get("data-caption") or caption)[:300],
            credit=credit(img.get("data-credit") or "")[:120],
            width=width,
            height=height,
        )
    return None


def _title(markup: str) -> str:
    """Return a title as text, also one whose entities were encoded once too often."""
    text = plain(markup)
    return (plain(text) if _LEFT_ENTITY.search(text) else text)[:_LONGEST_TITLE]


def _summary(markup: str) -> str:
    """Return the first paragraphs as text; share links and counting pixels are no text.

    Nor is what WordPress puts at the end of every one.
    """
    text = plain(re.sub(r"(?is)<figure\b.*?</figure>|<!--.*?-->", " ", markup))
    return _SAYS_MORE.sub("…", _APPEARED.sub("", text)).strip()


def _image_url(address: str, base: str) -> str:
    joined = urljoin(base, address.strip())
    if not address or not joined.startswith(("http://", "https://")) or len(joined) > 2_000:
        return ""
    return joined.replace(" ", "%20")


def _number(value: Any) -> int | None:
    text = str(value or "").removesuffix("px")
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text[:6]) < 20_000 else None


def _json_feed(body: bytes, url: str) -> ParsedFeed:
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise UnreadableFeed(f"{url} is neither XML nor valid JSON: it is no feed.") from None
    version = document.get("version", "") if isinstance(document, dict) else ""
    if "jsonfeed.org/version/1" not in str(version) or not isinstance(document.get("items"), list):
        raise UnreadableFeed(f"{url} is JSON, but no JSON Feed (jsonfeed.org).")
    language = language_tag(str(document.get("language") or ""))
    default_author = _json_author(document)
    return _collect(
        plain(str(document.get("title") or "")),
        language,
        document["items"],
        lambda item: _from_json(item, url, language, default_author),
    )


def _from_json(
    item: Any, base: str, language: str, default_author: str
) -> tuple[ArticleDraft, list[str]]:
    link = item.get("url") or item.get("external_url") or ""
    if not link:
        raise BadUrl("it has no link")
    markup = str(item.get("content_html") or "")
    link = urljoin(base, str(link))
    picture = _image_url(str(item.get("image") or item.get("banner_image") or ""), link)
    text = str(item.get("summary") or "") or markup or str(item.get("content_text") or "")
    tags = item.get("tags")
    tags = tags if isinstance(tags, list) else []
    published = str(item.get("date_published") or item.get("date_modified") or "")
    draft = ArticleDraft(
        canonical_url=canonical(link),
        title=_title(str(item.get("title") or "")),
        summary=shortened(_summary(text)),
        image=Image(url=picture) if picture else _inner_image(markup, link),
        author=_json_author(item) or default_author,
        published_at=_iso(published),
        language=language_tag(str(item.get("language") or "")) or language,
    )
    return draft, _sensible([plain(str(tag)) for tag in tags])


def _json_author(item: Mapping[str, Any]) -> str:
    authors = item.get("authors") or item.get("author") or []
    names = [
        plain(str(author.get("name") or "") if isinstance(author, dict) else str(author))
        for author in (authors if isinstance(authors, list) else [authors])
    ]
    return ", ".join(name for name in names if name)[:120]


def _iso(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
