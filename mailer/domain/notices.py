"""The notice: the exact wording under which a reader signs up, and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NoticePurpose:
    """One purpose as the notice lists it: its slug and its label in the notice's locale."""

    slug: str
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class NoticeWording:
    """Everything a reader is told before consenting. All of it is under the hash."""

    newsletter: str
    version: int
    locale: str
    text: str
    purposes: tuple[NoticePurpose, ...]
    controller: Mapping[str, str]
    links: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON (sorted keys, no spaces, UTF-8) of the whole wording."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        """Return the bytes that are hashed, so that anybody can hash them again."""
        document = {
            "newsletter": self.newsletter,
            "version": self.version,
            "locale": self.locale,
            "text": self.text,
            "purposes": [
                {"slug": purpose.slug, "label": purpose.label, "kind": purpose.kind}
                for purpose in self.purposes
            ],
            "controller": dict(self.controller),
            "links": dict(self.links),
        }
        return json.dumps(
            document, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()


def best_locale(wanted: Sequence[str], available: Sequence[str], default: str) -> str:
    """Return the first wanted locale that is available, by its language if not exactly."""
    for locale in (*wanted, default):
        if locale in available:
            return locale
        for candidate in available:
            if language(candidate) == language(locale):
                return candidate
    return available[0] if available else default


def language(locale: str) -> str:
    """Return the language of a locale: `pt` of `pt-BR`."""
    return locale.replace("_", "-").split("-")[0].lower()


@dataclass(frozen=True, slots=True)
class WordingChanges:
    """How one wording differs from an earlier one; labels are as the reader sees or saw them."""

    added: tuple[str, ...]
    dropped: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]  # label before, label now
    other_kind: tuple[str, ...]
    text: bool
    controller: bool
    links: bool


def changes_between(before: NoticeWording, now: NoticeWording) -> WordingChanges:
    """Return what a reader who agreed to `before` finds changed in `now`."""
    old = {purpose.slug: purpose for purpose in before.purposes}
    new = {purpose.slug: purpose for purpose in now.purposes}
    both = [(old[slug], new[slug]) for slug in new if slug in old]
    return WordingChanges(
        added=tuple(purpose.label for slug, purpose in new.items() if slug not in old),
        dropped=tuple(purpose.label for slug, purpose in old.items() if slug not in new),
        renamed=tuple((was.label, is_.label) for was, is_ in both if was.label != is_.label),
        other_kind=tuple(is_.label for was, is_ in both if was.kind != is_.kind),
        text=before.text != now.text,
        controller=dict(before.controller) != dict(now.controller),
        links=dict(before.links) != dict(now.links),
    )
