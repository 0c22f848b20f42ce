"""Leaves and evidence of one kind, a million times over: what they share is spelled once.

The bytes are those of `mailer.domain.leaves`; a test compares them.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from json.encoder import encode_basestring

from mailer.domain.leaves import LEAF_PREFIX, Leaf, canonical

_SAMPLE_ID = "0" * 32
NO_INSTANT = "null"


class LeafSpelling:
    """Spells leaves that differ in event, reader, commitment and times alone."""

    def __init__(self, like: Leaf) -> None:
        sample = replace(
            like, event_id=_SAMPLE_ID, reader=0, commitment=bytes(32),
            stated_at=None, valid_until=None,
        )  # fmt: skip
        text = canonical(sample.document()).decode()
        self._parts: list[str] = []
        for name, value in (  # in the order of the names
            ("commitment", f'"{bytes(32).hex()}"'),
            ("event_id", f'"{_SAMPLE_ID}"'),
            ("reader", "0"),
            ("stated_at", "null"),
            ("valid_until", "null"),
        ):
            before, _, text = text.partition(f'"{name}":{value}')
            self._parts.append(f'{before}"{name}":')
        self._end = text

    def hash(
        self, event_id: str, reader: int, commitment: bytes, stated_at: str, valid_until: str
    ) -> bytes:
        """Return the leaf's hash; the times are instants in quotes, or NO_INSTANT."""
        a, b, c, d, e = self._parts
        text = (
            f'{a}"{commitment.hex()}"{b}"{event_id}"{c}{reader}{d}{stated_at}{e}{valid_until}'
            f"{self._end}"
        )
        return hashlib.sha256(LEAF_PREFIX + text.encode()).digest()


class PersonalSpelling:
    """Spells the personal parts of an import's events, which differ in address and line alone."""

    def __init__(self, source: str, file_name: str) -> None:
        words = encode_basestring(f"{source} ({file_name}, line ")[:-1]
        self._middle = f',"confirmation_message_id":"","ip":"","page_url":"","source":{words}'
        self._end = ')","user_agent":""}'

    def spell(self, address: str, line: int) -> bytes:
        """Return the canonical JSON of the personal part."""
        return (f'{{"address":{encode_basestring(address)}{self._middle}{line}{self._end}').encode()
