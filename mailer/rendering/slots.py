"""Slots: where a reader's own values go in a mail that is compiled once for many."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from mailer.rendering.personalise import VALUES


class SlotMisused(Exception):
    """A template does with a reader's value what cannot be compiled."""


class Slot:
    """A reader's value in a template: it can be written, and nothing else.

    Conditions, filters and concatenations would need the value, which is not known yet; every
    such use says so instead of writing something wrong.
    """

    __slots__ = ("_name", "sentinel")

    def __init__(self, name: str, sentinel: str) -> None:
        self._name = name
        self.sentinel = sentinel

    def _refuse(self, *_: object) -> NoReturn:
        raise SlotMisused(
            f"“{self._name}” can only be written as it is, "
            "not be filtered, compared, joined or used in a condition"
        )

    __str__ = __bool__ = __len__ = __iter__ = __eq__ = __lt__ = __add__ = __radd__ = _refuse
    __html__ = __getitem__ = __contains__ = __mod__ = __format__ = __hash__ = _refuse


@dataclass(frozen=True, slots=True)
class Slots:
    """All slots of one compilation; the nonce makes their sentinels unguessable."""

    nonce: str

    def context(self) -> dict[str, dict[str, Slot]]:
        """Return what a template sees."""
        groups: dict[str, dict[str, Slot]] = {}
        for full_name in VALUES:
            group, _, name = full_name.partition(".")
            groups.setdefault(group, {})[name] = Slot(full_name, self.sentinel(full_name))
        return groups

    def sentinel(self, name: str) -> str:
        """Return the letters and digits that stand for the value until it is known."""
        return f"zq{self.nonce}{name.replace('.', 'x')}qz"

    def split(self, text: str) -> Iterator[tuple[str, str | None]]:
        """Cut text at its sentinels: pairs of the text before and the name of the value after."""
        names = {self.sentinel(name): name for name in VALUES}
        position = 0
        for found in re.finditer("|".join(names), text):
            yield text[position : found.start()], names[found.group()]
            position = found.end()
        yield text[position:], None
