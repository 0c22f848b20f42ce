"""How large a personal part may grow, so that no value makes a mail that takes long to work out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from mailer.rendering.sandbox import CannotWorkOut

_LONGEST_TEXT = 1_000_000
_LONGEST_LIST = 200_000
_LONGEST_NUMBER = 1_024  # bits
_WIDEST = 1_000
_WIDTHS = re.compile(r"\d{4,}|\*|\{[^}]*\{")


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
    """Refuse what would make much out of little before it is made."""
    if name == "replace" and len(given) >= 3:
        text, old, new = (str(each) for each in given[:3])
        grows = len(text) + text.count(old) * len(new)
    elif name == "join":
        sizes = sorted(len(each) for each in given if isinstance(each, str | list | tuple))
        grows = sizes[-1] * sizes[-2] if len(sizes) > 1 else 0
    elif name == "format" and given and isinstance(given[0], str) and _WIDTHS.search(given[0]):
        grows = _LONGEST_TEXT + 1
    elif name in ("center", "indent", "batch", "slice", "round"):
        widths = [each for each in (*given[1:], *named.values()) if isinstance(each, int | str)]
        wide = any((each if isinstance(each, int) else len(each)) > _WIDEST for each in widths)
        grows = _LONGEST_TEXT + 1 if wide else 0
    else:
        return
    if grows > _LONGEST_TEXT:
        raise CannotWorkOut("A personal part grows too large for a mail.")
