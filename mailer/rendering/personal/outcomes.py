"""Which of a campaign's variants is for which reader, found without rendering.

The decisions that the variants were compiled by make a tree for every locale: what is asked first
is the same for all, and what is asked next depends on what came out. A reader goes down it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from mailer.domain.errors import Refusal
from mailer.rendering.personal.deferred import Decision, Kind
from mailer.rendering.personal.evaluate import work_of
from mailer.rendering.personal.expressions import constant, decode, encode, fields_read
from mailer.rendering.values import ReaderValues

MOST_OUTCOMES = 200
"""For each locale: more are as many mails to compile, and nobody has looked at them."""

_CHEAP = frozenset({"locale", "timezone", "topics", "name", "first_name"})
_MOST_REMEMBERED = 10_000


class TooManyOutcomes(Refusal):
    """A template's conditions come out in too many ways; names the worst of them."""


def variant_key(locale: str, path: Sequence[Decision]) -> str:
    """Return the name of an outcome: the same where all decisions came out the same."""
    if not path:
        return locale
    told = "\n".join(f"{step.kind} {step.asked} {step.outcome}" for step in path)
    return f"{locale}:{hashlib.sha256(told.encode()).hexdigest()[:24]}"


class _Ask:
    """A decision, and where its outcomes lead to."""

    def __init__(self, step: Decision, locale: str) -> None:
        self.step = step
        self.leads: dict[Hashable, _Ask | int] = {}
        self._work = work_of(decode(step.asked), locale)

    def outcome(self, values: ReaderValues) -> Hashable:
        """Return what comes out for a reader; raises CannotWorkOut."""
        found = self._work(values)
        if self.step.kind == Kind.TRUTH:
            return bool(found)
        return encode(constant(list(found) if self.step.kind == Kind.EACH else found))


class Outcomes:
    """The variants of one campaign: (id, locale, path) each."""

    def __init__(self, variants: Iterable[tuple[int, str, Sequence[Decision]]] = ()) -> None:
        self._trees: dict[str, _Ask | int] = {}
        self._inputs: frozenset[str] = frozenset()
        self._remembered: dict[Hashable, int] = {}
        self._numbers: dict[str, int] = {}
        for variant_id, locale, path in variants:
            self.add(variant_id, locale, path)

    def add(self, variant_id: int, locale: str, path: Sequence[Decision]) -> None:
        """Take in a variant."""
        self._numbers[locale] = self._numbers.get(locale, 0) + 1
        if not path:
            self._trees.setdefault(locale, variant_id)
            return
        at = self._trees.setdefault(locale, _Ask(path[0], locale))
        for place, step in enumerate(path):
            if not isinstance(at, _Ask):
                return  # a shorter path leads there, of a template that writes by chance
            self._inputs |= fields_read(decode(step.asked))
            came_out = _came_out(step)
            if place + 1 == len(path):
                at.leads.setdefault(came_out, variant_id)
            else:
                at = at.leads.setdefault(came_out, _Ask(path[place + 1], locale))

    @property
    def number(self) -> int:
        """How many variants there are."""
        return sum(self._numbers.values())

    def refuse_more(self, locale: str) -> None:
        """Raise TooManyOutcomes where another variant would be one too many."""
        if self._numbers.get(locale, 0) >= MOST_OUTCOMES:
            raise TooManyOutcomes(
                f"Template {self._worst(locale)}: this comes out in too many ways, and the mail "
                f"with it in more than {MOST_OUTCOMES}. Ask for less, or write the value instead."
            )

    def choose(self, values: ReaderValues, locale: str) -> int | None:
        """Return the id of the reader's variant; None where nothing is compiled for the outcome.

        Raises CannotWorkOut where a condition cannot be worked out for this reader.
        """
        at = self._trees.get(locale)
        if at is None or isinstance(at, int):
            return at
        key = self._key(values, locale)
        known = self._remembered.get(key) if key is not None else None
        if known is not None:
            return known
        while isinstance(at, _Ask):
            at = at.leads.get(at.outcome(values))
        if at is not None and key is not None and len(self._remembered) < _MOST_REMEMBERED:
            self._remembered[key] = at
        return at

    def _key(self, values: ReaderValues, locale: str) -> Hashable | None:
        """Return all that the decisions look at, where that is quicker than to decide."""
        if not self._inputs <= _CHEAP:
            return None
        return (locale, *(attrgetter(name)(values) for name in sorted(self._inputs)))

    def _worst(self, locale: str) -> str:
        """Return where the condition with the most outcomes stands."""
        numbers: dict[str, set[Hashable]] = {}

        def count(at: Any) -> None:
            if isinstance(at, _Ask):
                numbers.setdefault(at.step.where, set()).update(at.leads)
                for below in at.leads.values():
                    count(below)

        count(self._trees.get(locale))
        return max(numbers, key=lambda place: len(numbers[place]))


def _came_out(step: Decision) -> Hashable:
    return decode(step.outcome)[1] if step.kind == Kind.TRUTH else step.outcome
