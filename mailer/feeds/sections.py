"""Which of an entry's categories is its section, seen over the whole feed.

Feeds put sections, tags and a name for everything into the same element: `TC` on every story, or
the names of the people in it. A section is what stories have in common, and not all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

_FEW_TAGS = 4
"""Up to so many, the first is taken for the section even if no other entry has it."""

_MANY_ENTRIES = 5


def choose_sections(tags_of_entries: Sequence[Sequence[str]]) -> list[str]:
    """Return the section of each entry, or nothing; `tags_of_entries` in the feed's order."""
    carried = Counter(key for tags in tags_of_entries for key in {tag.casefold() for tag in tags})
    shared = {key for key, entries in carried.items() if entries > 1}
    on_all = {key for key, entries in carried.items() if 5 * entries >= 4 * len(tags_of_entries)}
    says_nothing = on_all if len(tags_of_entries) >= _MANY_ENTRIES and shared - on_all else set()
    return [_section(tags, shared - says_nothing, says_nothing) for tags in tags_of_entries]


def _section(tags: Sequence[str], shared: set[str], says_nothing: set[str]) -> str:
    if not tags:
        return ""
    first = tags[0]
    if first.casefold() in shared or (
        len(tags) <= _FEW_TAGS and first.casefold() not in says_nothing
    ):
        return first
    return next((tag for tag in tags if tag.casefold() in shared), "")
