"""How large a personal part may grow, so that no value makes a mail that takes long to work out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from string import Formatter
from typing import Any

from mailer.rendering.sandbox import CannotWorkOut

_LONGEST_TEXT = 1_000_000
_LONGEST_LIST = 200_000
_LONGEST_NUMBER = 1_024  # bits
_WIDEST = 1_000
_WIDE = re.compile(r"\d{4,}")
_WIDE_PERCENT = re.compile(r"%(\([^)]*\))?[-+ #0]*(\d{4,}|\*|\d*\.(\d{4,}|\*))")


def measured(value: Any) -> Any:
    """Return the value, a generator as a list; raises CannotWorkOut where it has grown too large.

    What a filter such as `map` gives would be used up by whoever looks at it first.
    """
    if isinstance(value, Iterator):
        value = list(islice(value, _LONGEST_LIST + 1))
    if isinstance(value, str):
        fits = len(value) <= _LONGEST_TEXT
    elif isinstance(value, list | tuple | Mapping):
        fits = len(value) <= _LONGEST_LIST
    elif isinstance(value, int):
        fits = value.bit_length() <= _LONGEST_NUMBER
    else:
        return value
    if not fits:
        raise CannotWorkOut("A personal part grows too large for a mail.")
    return value


def refuse_growth(name: str, given: list[Any], named: Mapping[str, Any]) -> None:
    """Refuse what would make much out of little before it is made.

    `name` is that of a filter or method; the filter `format` is the operator `%`.
    """
    if name == "replace" and len(given) >= 3:
        text, old, new = (str(each) for each in given[:3])
        grows = len(text) + text.count(old) * len(new)
    elif name == "join":
        sizes = sorted(len(each) for each in given if isinstance(each, str | list | tuple))
        grows = sizes[-1] * sizes[-2] if len(sizes) > 1 else 0
    elif name in ("format", "%") and given and isinstance(given[0], str):
        grows = _formatted_size(name, given[0], [*given[1:], *named.values()])
    elif name in ("center", "indent", "batch", "slice", "round"):
        widths = [each for each in (*given[1:], *named.values()) if isinstance(each, int | str)]
        wide = any((each if isinstance(each, int) else len(each)) > _WIDEST for each in widths)
        grows = _LONGEST_TEXT + 1 if wide else 0
    else:
        return
    if grows > _LONGEST_TEXT:
        raise CannotWorkOut("A personal part grows too large for a mail.")


def _formatted_size(name: str, text: str, values: list[Any]) -> int:
    """Return how long formatting may make the text, at most."""
    wide = _braces_are_wide(text) if name == "format" else _WIDE_PERCENT.search(text)
    if wide:
        return _LONGEST_TEXT + 1
    fields = text.count("{" if name == "format" else "%")
    return len(text) + fields * max((len(str(each)) + _WIDEST for each in values), default=0)


def _braces_are_wide(text: str) -> bool:
    """Say whether a field asks for a width that is large, or that another value names."""
    try:
        fields = list(Formatter().parse(text))
    except ValueError:  # which formatting says itself
        return False
    return any(spec and ("{" in spec or _WIDE.search(spec)) for _, _, spec, _ in fields)
