"""The image that a page puts forward, with the words that its figure has for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from mailer.domain.articles import Image
from mailer.feeds.text import folded
from mailer.feeds.words import caption_and_credit, credit

_CREDIT_MARK = re.compile(r"credit|copyright|photographer|attribution", re.I)
_CAPTION = ".//figcaption | .//*[contains(concat(' ', @class, ' '), ' caption ')]"


def lead_image(
    page: Any, declared: Mapping[str, Any], base: str, *, address: str, alt: str
) -> Image | None:
    """Return the page's image: at `address`, else the one declared, else its first figure's.

    `declared` as of `LinkedArticle.image`; what the page shows its readers goes before it, and
    before `alt`, which it tells to others.
    """
    address = address or str(declared.get("url", ""))
    figure = _figure(page, address)
    img = figure.find(".//img") if figure is not None else None
    if not address and img is not None:
        address = img.get("src") or ""
    try:
        address = urljoin(base, address)
    except ValueError:
        return None
    if not address.startswith(("http://", "https://")) or len(address) > 2_000:
        return None
    caption, credited = _words_of(figure)
    told, named = caption_and_credit(str(declared.get("caption", "")))
    alt = (folded(img.get("alt") or "") if img is not None else "") or alt
    return Image(
        url=address,
        alt=alt[:300],
        caption=(caption or told)[:300],
        credit=(credited or credit(str(declared.get("credit", ""))) or named)[:120],
    )


def _figure(page: Any, address: str) -> Any:
    """Return the figure of the lead image: the one that shows the same file, else the first."""
    figures = [figure for figure in page.iter("figure") if figure.find(".//img") is not None]
    name = address.rsplit("/", 1)[-1].split("?")[0]
    for figure in figures:
        sources = " ".join(
            f"{img.get('src')} {img.get('srcset')} {img.get('data-src')}"
            for img in figure.iter("img", "source")
        )
        if name and name in sources:
            return figure
    return figures[0] if figures else None


def _words_of(figure: Any) -> tuple[str, str]:
    """Return caption and credit of a figure, apart."""
    captions = figure.xpath(_CAPTION) if figure is not None else []
    if not captions:
        return "", ""
    caption, credited = captions[0], ""
    for element in list(caption.iter("*")):
        marks = f"{element.get('class') or ''} {element.get('itemprop') or ''}"
        if element is not caption and _CREDIT_MARK.search(marks):
            credited = credited or credit(element.text_content())
            element.drop_tree()
    text, named = caption_and_credit(caption.text_content())
    return text, credited or named
