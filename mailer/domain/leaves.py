"""The leaf: what the consent log keeps of one consent event, and what it may be proved with.

A leaf names no person. It holds a keyed commitment to the personal part instead: who is given the
personal part and the event's own key can check that both belong together, and nobody else can
guess one from the other. docs/reference/consent-proof.md describes the bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

LEAF_VERSION = 1
LEAF_PREFIX = b"\x00"  # RFC 9162 §2.1.1: no leaf can be taken for a node

PERSONAL_FIELDS = (
    "address", "ip", "page_url", "user_agent", "source", "confirmation_message_id",
)  # fmt: skip
"""What the personal part of an event consists of; what is unknown is an empty text."""


@dataclass(frozen=True, slots=True)
class NoticeRef:
    """The wording that was shown; `assumed` where the form did not say which."""

    sha256: str
    version: int
    locale: str
    assumed: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """One consent event as the log keeps it. Times are kept to the millisecond.

    `reader` is a number that is never given twice; it says nothing any more once the reader's row
    is gone. `valid_until` ends an implied consent; `stated_at` is the date that an import gives.
    """

    event_id: str
    at: datetime
    newsletter: str
    purpose: str
    reader: int
    state: str
    method: str
    basis: str
    notice: NoticeRef | None
    commitment: bytes
    stated_at: datetime | None = None
    valid_until: datetime | None = None

    def document(self) -> dict[str, Any]:
        """Return the leaf as the JSON object that is hashed."""
        notice = self.notice
        return {
            "v": LEAF_VERSION,
            "event_id": self.event_id,
            "at": instant(self.at),
            "newsletter": self.newsletter,
            "purpose": self.purpose,
            "reader": self.reader,
            "state": self.state,
            "method": self.method,
            "basis": self.basis,
            "notice": None
            if notice is None
            else {
                "sha256": notice.sha256,
                "version": notice.version,
                "locale": notice.locale,
                "assumed": notice.assumed,
            },
            "commitment": self.commitment.hex(),
            "stated_at": instant(self.stated_at) if self.stated_at else None,
            "valid_until": instant(self.valid_until) if self.valid_until else None,
        }

    @property
    def hash(self) -> bytes:
        """The leaf's hash in the tree (RFC 9162 §2.1.1), 32 octets."""
        return hash_of_leaf(canonical(self.document()))


def hash_of_leaf(content: bytes) -> bytes:
    """Return the hash of a leaf's bytes (RFC 9162 §2.1.1)."""
    return hashlib.sha256(LEAF_PREFIX + content).digest()


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the one spelling of a JSON object of texts, whole numbers, true, false and null.

    RFC 8785: names sorted, no spaces, UTF-8, nothing escaped that need not be. The names are ASCII
    and there are no fractions, so that Python's own writer spells it so.
    """
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def instant(moment: datetime) -> str:
    """Return the moment in UTC to the millisecond, such as `2026-11-25T07:00:00.000Z`."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='milliseconds')}Z"  # strftime writes the year 202 as 202


def commitment_key(reader_key: bytes, event_id: str) -> bytes:
    """Return the key under which one event commits to its personal part.

    A proof discloses it; it opens no other event, and cannot be turned back into the reader's key.
    """
    return hmac.digest(reader_key, b"commitment " + event_id.encode(), "sha256")


def commitment(key: bytes, personal: Mapping[str, str]) -> bytes:
    """Return the keyed commitment (HMAC-SHA-256) to the personal part of an event."""
    return commitment_to(key, canonical(personal))


def commitment_to(key: bytes, personal: bytes) -> bytes:
    """Return the same for a personal part that is spelled already."""
    return hmac.digest(key, personal, "sha256")
