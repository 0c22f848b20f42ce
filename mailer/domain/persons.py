"""A person who is to be forgotten, as others may have spelled them in texts of their own."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property

from mailer.domain.addresses import wire_address

_SHORTEST = 3
"""A name of fewer letters stands in too many texts that mean somebody else."""


@dataclass(frozen=True)
class Person:
    """A reader's addresses, as they were written, and names."""

    addresses: tuple[str, ...]
    names: tuple[str, ...] = ()

    def is_named_in(self, text: str) -> bool:
        """Say whether a text may mean this person: by address, by its local part, or by name.

        It may mean a namesake. So this decides about words that nobody will miss.
        """
        return bool(self._pattern.search(text))

    @property
    def spellings(self) -> tuple[bytes, ...]:
        """How the person stands in a database's pages: as text, and escaped in JSON."""
        texts = {*self._addresses, *(name for name in self.names if name)}
        escaped = {json.dumps(text)[1:-1] for text in texts}
        return tuple(sorted(text.encode() for text in texts | escaped))

    @property
    def addresses_in_bytes(self) -> tuple[bytes, ...]:
        """How an address stands in a file: as text, or as it goes on the wire; in small letters."""
        return tuple(sorted(text.encode().lower() for text in self._addresses))

    @property
    def _addresses(self) -> set[str]:
        return {*self.addresses, *map(wire_address, self.addresses)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        locals_ = {address.rpartition("@")[0] for address in self.addresses}
        untagged = {local.partition("+")[0] for local in locals_}
        long = {word for word in {*locals_, *untagged, *self.names} if len(word) >= _SHORTEST}
        words = sorted(self._addresses | long, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.I)
