"""One rendering of a mail for many readers: what is left open, and what was decided on the way.

While a template runs, whatever depends on the reader is a `Deferred`: a tree that grows with every
filter and comparison. Where it is written it leaves a slot; where it steers (`if`, `for`), it is
decided, and the decisions say for whom else the outcome is good.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from jinja2.environment import Template
from markupsafe import Markup, escape

from mailer.rendering.personal.deferred import Decision, Deferred, Kind, Slot, SlotMisused
from mailer.rendering.personal.expressions import (
    LINK_FIELDS,
    LINKS,
    READER,
    READER_FIELDS,
    CannotKeep,
    Node,
    constant,
    describe,
    encode,
    has_tags,
    names_links,
)
from mailer.rendering.sandbox import METHODS, NOT_FOR_READERS

_LARGEST_TREE = 30_000

Oracle = Callable[[Node], Any]
"""Works a tree out for the reader that the mail is rendered for."""


@dataclass(frozen=True, slots=True)
class _Decided:
    decision: Decision
    value: Any


class Trace:
    """The slots and decisions of one rendering; `nonce` makes the slots' marks unguessable."""

    def __init__(self, nonce: str, oracle: Oracle | None) -> None:
        self._mark = f"zq{nonce}x"
        self._pattern = re.compile(f"{self._mark}([0-9]+)qz")
        self._oracle = oracle
        self._numbers: dict[str, int] = {}
        self._slots: list[Slot] = []
        self._origins: list[str] = []
        self._decided: dict[tuple[Kind, str], _Decided] = {}
        self._measured: dict[int, tuple[Node, int]] = {}  # by identity: trees share their branches

    def names(self) -> dict[str, Deferred]:
        """Return what a template sees of the reader."""
        return {"reader": Deferred(READER, self), "links": Deferred(LINKS, self)}

    @property
    def path(self) -> tuple[Decision, ...]:
        """The decisions, in the order in which they were taken."""
        return tuple(each.decision for each in self._decided.values())

    def split(self, text: str) -> Iterator[tuple[str, int | None]]:
        """Cut text at its slots: pairs of the text before, and the slot's number."""
        position = 0
        for found in self._pattern.finditer(text):
            yield text[position : found.start()], int(found.group(1))
            position = found.end()
        yield text[position:], None

    def slot(self, number: int) -> Slot:
        """Return a slot by its number."""
        return self._slots[number]

    def origin(self, number: int) -> str:
        """Return where the slot was first written: file and line."""
        return self._origins[number]

    def mark(self, slot: Slot, origin: str | None = None) -> str:
        """Return the letters and digits that stand for the slot until it is filled."""
        self.measure(slot.node)
        key = self._encoded(("slot", slot.node, slot.escapes))
        if key not in self._numbers:
            self._numbers[key] = len(self._slots)
            self._slots.append(slot)
            self._origins.append(origin or where())
        return f"{self._mark}{self._numbers[key]}qz"

    def measure(self, node: Any) -> int:
        """Return how large a tree is, written out; refuse one that has grown too large.

        A template that joins a value with itself over and over makes little look like much: so
        nothing walks a tree before it is measured.
        """
        if isinstance(node, str):
            return 1 + len(node) // 16
        if not isinstance(node, tuple):
            return 1
        known = self._measured.get(id(node))
        if known is not None:
            return known[1]
        size = 1 + sum(map(self.measure, node))
        if size > _LARGEST_TREE:
            self.refuse("what depends on the reader here grows too large")
        self._measured[id(node)] = (node, size)
        return size

    # What depends on the reader

    def depends(self, value: object) -> bool:
        """Say whether the value depends on the reader, in itself or in what it holds."""
        match value:
            case Deferred():
                return True
            case str():
                return self._mark in value
            case list() | tuple() | set():
                return any(map(self.depends, value))
            case dict():
                return any(map(self.depends, value.values()))
        return False

    def steers(self, value: object) -> bool:
        """Say whether the value's truth depends on the reader: a list's own length does not."""
        return isinstance(value, Deferred) or (isinstance(value, str) and self._mark in value)

    def tree(self, value: object) -> Node:
        """Return the value as a tree; raises CannotKeep for what cannot be kept with a mail."""
        match value:
            case Deferred():
                return value.node
            case str() if self._mark in value:
                return self._tree_of_text(value)
            case list():
                return ("list", tuple(self.tree(each) for each in value))
            case tuple():
                return ("tuple", tuple(self.tree(each) for each in value))
            case Mapping():
                pairs = ((constant(key), self.tree(each)) for key, each in value.items())
                return ("dict", tuple(pairs))
            case Iterator():
                return ("list", tuple(self.tree(each) for each in value))
        return constant(value)

    def _tree_of_text(self, text: str) -> Node:
        is_markup = isinstance(text, Markup)
        parts: list[Node] = []
        for before, number in self.split(str(text)):
            if before:
                parts.append(("markup" if is_markup else "const", before))
            if number is not None:
                slot = self._slots[number]
                parts.append(("escape" if slot.escapes else "text", slot.node))
        return ("join", tuple(parts), is_markup)

    def deferred(self, *node: Any) -> Deferred:
        """Return a value that is worked out for each reader."""
        return Deferred(node, self)

    def held(self, value: object) -> Node:
        """Return the value as a tree, or refuse it."""
        try:
            return self.tree(value)
        except CannotKeep as error:
            self.refuse(f"what is joined here with a reader's value {error}")

    def held_all(
        self, given: tuple[Any, ...], named: Mapping[str, Any]
    ) -> tuple[tuple[Node, ...], tuple[tuple[str, Node], ...]]:
        """Return arguments as trees, or refuse them."""
        for value in (*given, *named.values()):
            self.refuse_whole(value)
        return (
            tuple(self.held(value) for value in given),
            tuple((name, self.held(value)) for name, value in named.items()),
        )

    # What templates do with it

    def field(self, of: Deferred, name: str) -> Deferred:
        """Return what `reader.name` stands for."""
        known = {READER: READER_FIELDS, LINKS: LINK_FIELDS}.get(of.node)
        if known is not None and name not in known:
            said = of.node[0]
            self.refuse(f"“{said}.{name}” is unknown: “{said}” has {', '.join(known)}")
        if name.startswith("_"):
            self.refuse(f"“{name}” of a reader's value is unsafe")
        return self.deferred("attr", of.node, name)

    def filtered(
        self, name: str, given: tuple[Any, ...], named: Mapping[str, Any], *, escapes: bool
    ) -> Any:
        """Return what a filter makes of a reader's value."""
        text = given[0] if given else None
        if name == "trim" and len(given) == 1 and isinstance(text, Markup) and not named:
            trimmed = self._trimmed(text)
            if trimmed is not None:
                return trimmed
        if name in NOT_FOR_READERS:
            self.refuse(f"the filter “{name}” is not for a reader's value: {NOT_FOR_READERS[name]}")
        parts, others = self.held_all(given, named)
        node = ("filter", name, parts, others, escapes)
        if has_tags(node):
            self.refuse(
                f"“{name}” is given tags with a reader's value between them: "
                "filter the value, and write the tags around it"
            )
        return Deferred(node, self)

    def _trimmed(self, text: Markup) -> Markup | None:
        """Trim markup whose ends are the same for all readers; None where they are not."""
        trimmed = text.strip()
        begins, ends = self._pattern.match(trimmed), trimmed.rstrip().endswith("qz")
        return None if begins or ends else trimmed

    def called(self, of: Node, given: tuple[Any, ...], named: Mapping[str, Any]) -> Deferred:
        """Return what a method gives, of a reader's value or with one."""
        name = of[2] if of[0] == "attr" else ""
        if name not in METHODS:
            self.refuse(f"“{describe(of)}” cannot be called with a reader's value")
        parts, others = self.held_all(given, named)
        node = ("call", of, parts, others)
        if has_tags(node):
            self.refuse(f"“{describe(of)}” is given tags with a reader's value between them")
        return Deferred(node, self)

    def written(self, value: Any, *, escapes: bool) -> Any:
        """Return what stands in the output for a value: itself, or marks of slots."""
        if not self.depends(value):
            return value
        if isinstance(value, str):
            return value if isinstance(value, Markup) or not escapes else self._escaped(value)
        self.refuse_whole(value)
        node = self.held(value)
        if has_tags(node):
            self.refuse(
                f"“{describe(node)}” writes tags that depend on the reader: use a condition"
            )
        return Markup(self.mark(Slot(node, escapes)))

    def _escaped(self, text: str) -> Markup:
        """Escape text that was written without, its slots too."""
        pieces = []
        for before, number in self.split(text):
            pieces.append(str(escape(before)))
            if number is not None:
                node, escapes = self._slots[number]
                inner = ("escape", node) if escapes else ("text", node)
                pieces.append(self.mark(Slot(inner, True)))
        return Markup("".join(pieces))

    # Decisions

    def truth(self, value: object) -> bool:
        """Say whether the value is true for the reader: a decision, where that depends on it."""
        return bool(self._decide(Kind.TRUTH, value)) if self.steers(value) else bool(value)

    def each(self, value: Any) -> Any:
        """Return what a loop goes through."""
        return self._decide(Kind.EACH, value) if self.steers(value) else value

    def settled(self, value: Any) -> Any:
        """Return the value itself, for what needs it now."""
        return self._decide(Kind.VALUE, value) if self.depends(value) else value

    def _decide(self, kind: Kind, value: object) -> Any:
        self.refuse_whole(value)
        node = self.held(value)
        if names_links(node):
            self.refuse(
                f"“{describe(node)}” steers the mail, but every reader has links of their own"
            )
        asked = self._encoded(node)
        known = self._decided.get((kind, asked))
        if known is not None:
            return known.value
        if self._oracle is None:
            self.refuse(f"“{describe(node)}” steers the mail, which knows nothing of its reader")
        found = self._oracle(node)
        match kind:
            case Kind.TRUTH:
                found = bool(found)
            case Kind.EACH:
                found = list(found)
        try:
            outcome = encode(constant(found))
        except CannotKeep as error:
            self.refuse(f"“{describe(node)}” steers the mail, but {error}")
        place = f"{where()}: {describe(node)}"
        self._decided[kind, asked] = _Decided(Decision(kind, asked, outcome, place), found)
        return found

    # Refusing

    def refuse_whole(self, value: object) -> None:
        """Refuse `reader` itself, of which only fields may be used."""
        if isinstance(value, Deferred) and value.node in (READER, LINKS):
            self.refuse(f"“{value.node[0]}” is used as a whole: name a field of it")

    def refuse(self, reason: str) -> NoReturn:
        """Raise SlotMisused with file and line."""
        raise SlotMisused(f"{where()}: {reason}")

    def _encoded(self, node: Node) -> str:
        try:
            return encode(node)
        except (CannotKeep, RecursionError):
            self.refuse("what depends on the reader here grows too large")


def where() -> str:
    """Return file and line of the template that runs now, the innermost."""
    frame = sys._getframe(1)
    while frame is not None:
        template = frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            line = template.get_corresponding_lineno(frame.f_lineno)
            return f"{template.name}, line {line}"
        frame = frame.f_back  # type: ignore[assignment]
    return "the template"
