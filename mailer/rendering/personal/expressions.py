"""What depends on a reader, as a tree that can be kept, named and worked out later.

A node is a tuple: its kind, then its parts. `("filter", "upper", (("attr", ("reader",), "name"),),
(), False)` is `reader.name | upper`. As JSON it is kept with the compiled mail; `evaluate` turns it
into a function.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from jinja2 import Undefined
from markupsafe import Markup

Node = tuple[Any, ...]

READER: Node = ("reader",)
LINKS: Node = ("links",)

READER_FIELDS = (
    "email", "name", "first_name", "locale", "timezone", "attributes", "topics",
)  # fmt: skip
"""What templates may name of a reader."""

LINK_FIELDS = ("unsubscribe", "preferences", "confirm", "export", "erase")
"""The links of a reader's own."""

_LONGEST_TREE = 400_000
"""Characters of JSON: a template that builds more than this writes no mail."""


class CannotKeep(Exception):
    """This value cannot be kept with a compiled mail; the message goes on from “it”."""


def constant(value: object) -> Node:
    """Return the node of a value that is the same for all readers; raises CannotKeep."""
    match value:
        case Undefined():
            return ("undefined",)
        case Markup():
            return ("markup", str(value))
        case str():
            return ("const", str(value))
        case None | bool() | int() | float():
            return ("const", value)
        case datetime():
            return ("datetime", value.isoformat())
        case date():
            return ("date", value.isoformat())
        case list():
            return ("list", tuple(constant(each) for each in value))
        case tuple():
            return ("tuple", tuple(constant(each) for each in value))
        case Mapping():
            pairs = ((constant(key), constant(each)) for key, each in value.items())
            return ("dict", tuple(pairs))
    raise CannotKeep(f"holds a {type(value).__name__}")


def encode(node: Node) -> str:
    """Return the tree as JSON, the same text for the same tree; raises CannotKeep."""
    text = json.dumps(node, separators=(",", ":"), ensure_ascii=False)
    if len(text) > _LONGEST_TREE:
        raise CannotKeep("grows too large")
    return text


def decode(text: str) -> Node:
    """Return what `encode` wrote."""
    node = _tuples(json.loads(text))
    assert isinstance(node, tuple)
    return node


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def walk(node: Any) -> Iterator[Node]:
    """Yield the node and all below it."""
    if not isinstance(node, tuple):
        return
    if node and isinstance(node[0], str):
        yield node
    for part in node:
        yield from walk(part)


def names_links(node: Node) -> bool:
    """Say whether a link of the reader's own stands in it."""
    return any(each == LINKS for each in walk(node))


def fields_read(node: Node) -> frozenset[str]:
    """Return which of a reader's fields it needs; `reader` alone means all of them."""
    found = {each[2] for each in walk(node) if each[0] == "attr" and each[1] == READER}
    bare = sum(each == READER for each in walk(node))
    named = sum(each[0] == "attr" and each[1] == READER for each in walk(node))
    return frozenset(found if bare == named else READER_FIELDS)


def has_tags(node: Node) -> bool:
    """Say whether markup with tags stands in it: a slot comes too late for its styles."""
    return any(each[0] == "markup" and "<" in each[1] for each in walk(node))


def plain_field(node: Node) -> str | None:
    """Return `reader.name` or the like where the tree is no more than that."""
    if node[0] == "attr" and node[1] in (READER, LINKS):
        return f"{node[1][0]}.{node[2]}"
    return None


def describe(node: Node) -> str:
    """Return the tree as the template's author would have written it, cut where it is long."""
    said = _said(node)
    return said if len(said) <= 80 else f"{said[:77]}…"


def _said(node: Node) -> str:
    match node:
        case (("reader" | "links") as name,):
            return str(name)
        case ("attr", of, name):
            return f"{_said(of)}.{name}"
        case ("item", of, name):
            return f"{_said(of)}[{_said(name)}]"
        case ("filter", name, (of, *_), *_):
            return f"{_said(of)} | {name}"
        case ("test", name, (of, *_), *_):
            return f"{_said(of)} is {name}"
        case ("call", of, *_):
            return f"{_said(of)}(…)"
        case ("not", of):
            return f"not {_said(of)}"
        case (("and" | "or") as word, left, right):
            return f"{_said(left)} {word} {_said(right)}"
        case ("binary", sign, left, right):
            return f"{_said(left)} {sign} {_said(right)}"
        case ("compare", first, rest):
            return " ".join([_said(first), *(f"{sign} {_said(of)}" for sign, of in rest)])
        case ("escape" | "text" | "words" | "address", of, *_):
            return _said(of)
        case ("join", parts, _):
            return " ~ ".join(map(_said, parts))
        case ("const" | "markup", value):
            return repr(value)
        case _:
            inner = next((each for each in walk(node[1:]) if each[0] in ("attr", "reader")), None)
            return f"… {_said(inner)} …" if inner else "…"
