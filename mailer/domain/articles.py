"""An article as it was read from a feed or a page, before it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Image:
    """A lead image; caption and credit are plain text and apart from each other."""

    url: str
    alt: str = ""
    caption: str = ""
    credit: str = ""
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class ArticleDraft:
    """Everything a digest needs of a story. All text is plain, `published_at` is aware UTC."""

    canonical_url: str
    title: str
    summary: str = ""
    image: Image | None = None
    author: str = ""
    published_at: datetime | None = None
    section: str = ""
    language: str = ""
    paywalled: bool | None = None
    """Whether it is for subscribers only; None where nothing says so."""
