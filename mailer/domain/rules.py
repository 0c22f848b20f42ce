"""A digest's rules: what a person may order of a selection, and how it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from mailer.domain.errors import Refusal
from mailer.domain.titles import split_words

EVERY_OTHER = "*"
"""The name under which a cap is kept for all sections that have none of their own."""

MOST_ARTICLES = 50
_MOST_NAMES = 50
_LONGEST_AGE = timedelta(days=366)


class BadRules(Refusal):
    """The rules cannot be followed; the message says what is expected."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a digest may hold. Sections and sources are named by `section_key` and by feed.

    `caps`: how many of a section; 0 leaves it out. `order`: which sections come first.
    `preferred`: whose version of a story stays, best first.
    """

    max_articles: int = 12
    min_articles: int = 1
    max_age: timedelta | None = None
    max_per_source: int | None = None
    caps: Mapping[str, int] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise BadRules for what cannot be followed."""
        if not 1 <= self.min_articles <= self.max_articles <= MOST_ARTICLES:
            raise BadRules(
                f"A digest holds 1 to {MOST_ARTICLES} articles, and at least as many as its "
                "minimum."
            )
        if self.max_per_source is not None and not 1 <= self.max_per_source <= MOST_ARTICLES:
            raise BadRules(f"Of one source 1 to {MOST_ARTICLES} articles may be allowed.")
        if any(not 0 <= cap <= MOST_ARTICLES for cap in self.caps.values()):
            raise BadRules(f"Of one section 0 to {MOST_ARTICLES} articles may be allowed.")
        if self.max_age is not None and not timedelta() < self.max_age <= _LONGEST_AGE:
            raise BadRules(f"The age of an article is at most {_LONGEST_AGE.days} days.")
        if max(len(self.caps), len(self.order), len(self.preferred)) > _MOST_NAMES:
            raise BadRules(f"Name {_MOST_NAMES} sections or sources at most.")
        if "" in self.caps or "" in self.order:
            raise BadRules("A section needs a name, such as politics.")

    def cap(self, section: str) -> int | None:
        """Return how many of a section may be in; None: as many as there are."""
        return self.caps.get(section_key(section), self.caps.get(EVERY_OTHER))

    def rank(self, section: str) -> int:
        """Return where a section stands in the mail; those without an order come last."""
        key = section_key(section)
        return self.order.index(key) if key in self.order else len(self.order)

    def preference(self, source: str) -> int:
        """Return how much a source is preferred: 0 is best."""
        return self.preferred.index(source) if source in self.preferred else len(self.preferred)

    def as_kept(self) -> dict[str, Any]:
        """Return what is kept beside the two numbers that have columns of their own."""
        return {
            "max_age_hours": self.max_age / timedelta(hours=1) if self.max_age else None,
            "max_per_source": self.max_per_source,
            "caps": dict(self.caps),
            "order": list(self.order),
            "preferred": list(self.preferred),
        }

    @classmethod
    def from_kept(cls, kept: Mapping[str, Any], max_articles: int, min_articles: int) -> Rules:
        """Return the rules as they were kept; `{}` are those of a digest without any."""
        hours = kept.get("max_age_hours")
        return cls(
            max_articles=max_articles,
            min_articles=min_articles,
            max_age=timedelta(hours=hours) if hours else None,
            max_per_source=kept.get("max_per_source"),
            caps=kept.get("caps", {}),
            order=tuple(kept.get("order", ())),
            preferred=tuple(kept.get("preferred", ())),
        )


ORDINARY = Rules()
"""Those of a digest of which nothing is said."""


def section_key(name: str) -> str:
    """Return a section's name without case, accents and punctuation: `Arts & Culture` is one."""
    return EVERY_OTHER if name.strip() == EVERY_OTHER else " ".join(split_words(name))
