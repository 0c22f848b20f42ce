"""A value that depends on the reader, in a template that runs for many."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn, Protocol

from mailer.rendering.personal.expressions import Node, describe


class SlotMisused(Exception):
    """A template does with a reader's value what cannot be compiled."""


class Kind(StrEnum):
    """What is asked of a reader's value that steers the template."""

    TRUTH = "truth"
    EACH = "each"  # what a loop goes through
    VALUE = "value"  # the value itself, where only that will do: the number of a plural


class Decision(NamedTuple):
    """What was asked of the reader, and what came out."""

    kind: Kind
    asked: str  # the encoded tree
    outcome: str  # the encoded constant
    where: str  # file and line, for the template's author


class Slot(NamedTuple):
    """A place that is filled with what a tree gives for the reader: text, or escaped text."""

    node: Node
    escapes: bool


class Rendering(Protocol):
    """What a value asks of the rendering that it belongs to (`Trace`)."""

    def measure(self, node: Any) -> int: ...
    def truth(self, value: object) -> bool: ...
    def each(self, value: Any) -> Any: ...
    def refuse(self, reason: str) -> NoReturn: ...


class Deferred:
    """A value that depends on the reader, in a template that runs for many."""

    __slots__ = ("node", "trace")

    def __init__(self, node: Node, trace: Rendering) -> None:
        self.node = node
        self.trace = trace
        trace.measure(node)

    def __bool__(self) -> bool:
        return self.trace.truth(self)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.trace.each(self))

    def _refuse(self, *_: object) -> NoReturn:
        self.trace.refuse(f"“{describe(self.node)}” depends on the reader: it cannot be used here")

    __str__ = __len__ = __eq__ = __lt__ = __add__ = __radd__ = __html__ = __getitem__ = _refuse
    __contains__ = __mod__ = __format__ = __hash__ = __index__ = __call__ = _refuse
