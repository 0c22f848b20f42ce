"""What screen readers, phones and right-to-left scripts need of the HTML (WCAG 2.2)."""

from __future__ import annotations

from collections.abc import Iterator

from lxml.html import HtmlElement

from mailer.checking.findings import Finding, Level
from mailer.checking.mail import Mail, place, words_of
from mailer.checking.seen import hidden
from mailer.domain.locales import direction

_LONGEST_STYLE = 16_000
_MOST_NAMED = 20
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


def language_findings(mail: Mail) -> Iterator[Finding]:
    """Look for lang and dir, on the page and on a wrapper: webmail throws the page away."""
    page = mail.root
    lang = (page.get("lang") or "").strip()
    if not lang:
        yield Finding(
            Level.WARNING, "language", "<html>", "The mail does not say its language.",
            'Write <html lang="{{ newsletter.locale }}" dir="{{ newsletter.dir }}">.',
        )  # fmt: skip
        return
    wanted = direction(lang)
    if (page.get("dir") or "ltr").lower() != wanted:
        yield Finding(
            Level.ERROR, "language", "<html>", f"{lang} is written {wanted}, which dir denies.",
            'Write dir="{{ newsletter.dir }}".',
        )  # fmt: skip
    inner = [each for each in mail.elements if each is not page and each.get("lang")]
    if not any(each.get("lang") == lang for each in inner):
        yield Finding(
            Level.WARNING, "language", "<body>",
            "Webmail leaves <html> out, and nothing within the body says lang and dir.",
            "Repeat both on an element around everything.",
        )  # fmt: skip


def title_findings(mail: Mail) -> Iterator[Finding]:
    """Look for a title: the name of the page where a mail is opened in a browser."""
    title = mail.root.find("head/title")
    if title is None or not (title.text or "").strip():
        yield Finding(
            Level.WARNING, "title", "<head>", "The mail has no <title>.",
            "Write <title>{{ campaign.subject }}</title>.",
        )  # fmt: skip


def heading_findings(mail: Mail) -> Iterator[Finding]:
    """Look whether the headings are an outline: one h1, and no level left out."""
    headings = [each for each in mail.elements if each.tag in _HEADINGS and not hidden(each)]
    first = [each for each in headings if each.tag == "h1"]
    if len(first) != 1:
        how_many = (
            f"There are {len(first)} headings of the first level" if first else "There is no h1"
        )
        yield Finding(
            Level.WARNING, "headings", place(first[1]) if len(first) > 1 else "HTML part",
            f"{how_many}: a mail has one.",
            "Make the mail's name or its story's title the only h1.",
        )  # fmt: skip
    level = 0
    for heading in headings:
        now = int(heading.tag[1])
        if now > level + 1 and level:
            yield Finding(
                Level.WARNING, "headings", place(heading),
                f"An h{now} follows an h{level}: the level between is left out.",
                f"Make it an h{level + 1}.",
            )  # fmt: skip
            return
        level = now


def table_findings(mail: Mail) -> Iterator[Finding]:
    """Look for tables that voices would read out as tables, but that only hold a layout."""
    bare = [
        each
        for each in mail.elements
        if each.tag == "table" and each.get("role") is None and next(each.iter("th"), None) is None
    ]
    if bare:
        yield Finding(
            Level.WARNING, "tables", place(bare[0]),
            f"Tables for layout without role=\"presentation\": {len(bare)}.",
            'Write role="presentation", or give a table of data its <th>.',
        )  # fmt: skip


def image_findings(mail: Mail) -> Iterator[Finding]:
    """Look whether pictures say what they show, and how large they are."""
    pictures = [each for each in mail.elements if each.tag == "img" and not hidden(each)]
    for picture in pictures[:_MOST_NAMED]:
        if picture.get("alt") is None:
            yield Finding(
                Level.ERROR, "images", place(picture),
                f"A picture has no alt: {picture.get('src', '')[:80]}",
                'Say what it shows: alt="…"; or alt="" where it only decorates.',
            )  # fmt: skip
        elif not picture.get("alt", "").strip() and _is_all_of_a_link(picture):
            yield Finding(
                Level.ERROR, "images", place(picture),
                f"A link is one picture with an empty alt: {picture.get('src', '')[:80]}",
                "Say in alt where the link leads.",
            )  # fmt: skip
    unsized = [each for each in pictures if not each.get("width")]
    if unsized:
        yield Finding(
            Level.WARNING, "images", place(unsized[0]),
            f"Pictures without a width, which Outlook shows in their full size: {len(unsized)}.",
            'Write width="…" in pixels.',
        )  # fmt: skip


def style_findings(mail: Mail) -> Iterator[Finding]:
    """Look at what Gmail does not take: much CSS, scripts, other pages within."""
    length = sum(len(each.text or "") for each in mail.elements if each.tag == "style")
    if length > _LONGEST_STYLE:
        yield Finding(
            Level.WARNING, "style", "<style>",
            f"The CSS has {length // 1000} KB: Gmail takes none of it from 16 KB.",
            "Leave rules out that no element needs.",
        )  # fmt: skip
    for each in mail.elements:
        if each.tag in ("script", "iframe", "object", "embed"):
            yield Finding(
                Level.ERROR, "style", place(each), f"There is a <{each.tag}>: filters reject it.",
                "Take it out.",
            )  # fmt: skip


def _is_all_of_a_link(picture: HtmlElement) -> bool:
    link = next((each for each in picture.iterancestors("a")), None)
    if link is None or link.get("title") or link.get("aria-label"):
        return False
    others = [each for each in link.iter("img") if each is not picture]
    return not words_of(link).strip() and not any(each.get("alt", "").strip() for each in others)
