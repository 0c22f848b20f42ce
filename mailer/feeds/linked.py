"""What a page says of its article to machines: schema.org, as JSON-LD."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mailer.feeds.text import folded, plain

_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class LinkedArticle:
    """The page's own description of its article; empty where it has none."""

    values: Mapping[str, Any] = field(default_factory=dict)
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Everything that the page describes and gives a name (`@id`)."""

    def __bool__(self) -> bool:
        return bool(self.values)

    def text(self, name: str) -> str:
        """Return a value, or the first of several, as plain text."""
        return plain(as_text(_first(self.values.get(name))))

    @property
    def authors(self) -> list[str]:
        """Who wrote it."""
        found = self.values.get("author") or self.values.get("creator")
        each = [self._described(one) for one in (found if isinstance(found, list) else [found])]
        return [plain(as_text(one.get("name") if isinstance(one, dict) else one)) for one in each]

    @property
    def image(self) -> Mapping[str, Any]:
        """The image: `url`, and what is said of it as `caption` and `credit`."""
        found = self._described(_first(self.values.get("image")))
        if not isinstance(found, Mapping):
            return {"url": as_text(found)}
        maker = self._described(_first(found.get("creator") or found.get("author")))
        named = as_text(maker.get("name") if isinstance(maker, Mapping) else maker)
        said = as_text(found.get("creditText")) or named or as_text(found.get("copyrightNotice"))
        return {
            "url": as_text(_first(found.get("url"))) or as_text(_first(found.get("contentUrl"))),
            "caption": plain(as_text(found.get("caption"))),
            "credit": plain(said),
        }

    @property
    def is_free(self) -> bool | None:
        """Whether everybody may read it; None where it does not say.

        A part that one must pay for is the story, with its first lines before it.
        """
        said = _truth(self.values.get("isAccessibleForFree"))
        if said is not None:
            return said
        parts = self.values.get("hasPart")
        told = [
            _truth(part.get("isAccessibleForFree"))
            for part in (parts if isinstance(parts, list) else [parts])
            if isinstance(part, dict)
        ]
        return False if False in told else None

    def _described(self, value: Any) -> Any:
        """Return what a mere name (`{"@id": …}`) stands for."""
        if isinstance(value, dict) and set(value) <= {"@id", "@type"}:
            return self.nodes.get(as_text(value.get("@id")), value)
        return value


def linked_article(page: Any) -> LinkedArticle:
    """Return the first article that the page describes."""
    nodes = [node for script in page.iter("script") for node in _of_script(script)]
    named = {as_text(node.get("@id")): node for node in reversed(nodes) if len(node) > 2}
    for node in nodes:
        kinds = node.get("@type")
        if any(_is_article(kind) for kind in (kinds if isinstance(kinds, list) else [kinds])):
            return LinkedArticle(node, named)
    return LinkedArticle()


def as_text(value: Any) -> str:
    """Return a text on one line; nothing for what is none."""
    return folded(value) if isinstance(value, str) else ""


def _of_script(script: Any) -> Iterator[dict[str, Any]]:
    if "ld+json" not in (script.get("type") or "").lower():
        return
    try:
        document = json.loads(script.text or "", strict=False)
    except (ValueError, RecursionError):
        return
    yield from _nodes(document, _DEEPEST)


def _nodes(document: Any, depth: int) -> Iterator[dict[str, Any]]:
    if isinstance(document, list) and depth:
        for part in document:
            yield from _nodes(part, depth - 1)
    elif isinstance(document, dict) and depth:
        yield document
        for name in ("@graph", "mainEntity"):
            yield from _nodes(document.get(name), depth - 1)


def _is_article(kind: Any) -> bool:
    """Say whether it is one of schema.org's many kinds of articles and postings."""
    return isinstance(kind, str) and kind.rsplit("/", 1)[-1].endswith(("Article", "BlogPosting"))


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _truth(value: Any) -> bool | None:
    """Return what a page means by true, "False" or http://schema.org/False."""
    if isinstance(value, bool):
        return value
    word = as_text(value).lower().rsplit("/", 1)[-1]
    return {"true": True, "false": False}.get(word)
