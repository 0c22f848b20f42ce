"""When two titles tell the same story, in any language.

The measure is one that can be explained to an editor: of all the words of both titles together, at
least four in five stand in both, and the numbers are the same. Nothing is known of any language:
no stop words, no stems.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

_JOINS = frozenset("'’‘ʼ`ـ")
"""Apostrophes, and the stroke that only makes an Arabic word longer: `it’s` is `its`."""

_FEWEST_WORDS = 4
"""Of shorter titles one word too many says something else: only equal ones are the same."""


@dataclass(frozen=True, slots=True)
class TitleWords:
    """The words of a title, in any order; `numbers` are those with a digit in them."""

    words: frozenset[str]
    numbers: frozenset[str]


def title_words(title: str) -> TitleWords:
    """Return a title's words without case, accents, vowel signs, punctuation and order."""
    words = frozenset(split_words(title))
    return TitleWords(words, frozenset(word for word in words if any(map(str.isnumeric, word))))


def split_words(text: str) -> list[str]:
    """Return the words of a text: runs of letters and digits, in one spelling.

    Accents and vowel signs go (NFKD), so that `Lagós` is `lagos` and a title with harakat is the
    one without.
    """
    spelled = "".join(
        "" if _is_sign(character) else character if character.isalnum() else " "
        for character in unicodedata.normalize("NFKD", text)
    )
    return spelled.casefold().split()


def tell_the_same(one: TitleWords, other: TitleWords) -> bool:
    """Say whether two titles tell the same story."""
    if one.words == other.words:
        return bool(one.words)
    if one.numbers != other.numbers:
        return False
    if min(len(one.words), len(other.words)) < _FEWEST_WORDS:
        return False
    return 5 * len(one.words & other.words) >= 4 * len(one.words | other.words)


def like_titles(titles: Mapping[int, TitleWords]) -> dict[int, set[int]]:
    """Return, for each title that tells the same as another one, which ones those are.

    Not every pair is looked at: of n words all but n/5 stand in the other title too, so that one of
    the n/5 + 1 rarest words of both is the same.
    """
    carried = Counter(word for title in titles.values() for word in title.words)
    holders: dict[str, list[int]] = {}
    found: dict[int, set[int]] = {}
    for number, title in titles.items():
        rarest = sorted(title.words, key=lambda word: (carried[word], word))
        for word in rarest[: len(rarest) // 5 + 1]:
            for other in holders.setdefault(word, []):
                if tell_the_same(title, titles[other]):
                    found.setdefault(number, set()).add(other)
                    found.setdefault(other, set()).add(number)
            holders[word].append(number)
    return found


def _is_sign(character: str) -> bool:
    return character in _JOINS or unicodedata.category(character) in ("Mn", "Me", "Cf")
