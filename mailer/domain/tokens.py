"""Signed links: what a reader may do with one click, and no more than that.

A token is `version · kind · key id · body · MAC` in unpadded base64url. It holds numbers, never an
address; it needs no row in the database, so that a link in an old mail works for years; and a
token of one kind is worth nothing as another, for the kind is under the MAC.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

_VERSION = 1
_MAC_BYTES = 16  # 128 bits
_SIGNED = struct.Struct(">BBBQQQ")


class TokenKind(IntEnum):
    """What the link is for."""

    CONFIRM = 1
    UNSUBSCRIBE = 2
    PREFERENCES = 3
    EXPORT = 4
    ERASE = 5
    APPROVAL = 6


class Token(NamedTuple):
    """What a link says: who, at which newsletter, and `serial`: since which request or campaign.

    For CONFIRM the serial is the number of the request that the mail was sent for; for EXPORT and
    ERASE the day on which the reader asked; for APPROVAL the second until which a decision is
    taken, and the subscriber is none: the number is the campaign's. For the others the campaign
    that the reader left from (0: none), which is only told, never checked.
    """

    kind: TokenKind
    newsletter_id: int
    subscriber_id: int
    serial: int = 0


class TokenSigner:
    """Makes and reads tokens; the first key signs, every key is believed (key rotation)."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("at least one key is needed")
        self._keys: dict[int, list[bytes]] = {}
        for key in keys:
            self._keys.setdefault(_key_id(key), []).append(key)
        self._newest, self._newest_id = keys[0], _key_id(keys[0])

    def sign(self, token: Token) -> str:
        """Return the token as it stands in a link: 58 characters."""
        signed = _SIGNED.pack(
            _VERSION, token.kind, self._newest_id,
            token.newsletter_id, token.subscriber_id, token.serial,
        )  # fmt: skip
        raw = signed + _mac(self._newest, signed)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def read(self, text: str, kind: TokenKind) -> Token | None:
        """Return what the token says, or None where a single character is not ours."""
        try:
            raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        except (binascii.Error, UnicodeEncodeError, ValueError):
            return None
        # Decoders ignore spare bits and foreign characters; a token has exactly one spelling.
        if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode("ascii"):
            return None
        if len(raw) != _SIGNED.size + _MAC_BYTES:
            return None
        signed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        version, its_kind, key_id, newsletter_id, subscriber_id, serial = _SIGNED.unpack(signed)
        # An id is one byte: two keys may share it.
        known = self._keys.get(key_id, ())
        if not any(hmac.compare_digest(mac, _mac(key, signed)) for key in known):
            return None
        if version != _VERSION or its_kind != kind:
            return None
        return Token(kind, newsletter_id, subscriber_id, serial)


def delivery_token(delivery_id: int, key: bytes) -> str:
    """Return the opaque name of a delivery: in `X-Mailer-Delivery`, and left in its Message-ID.

    The MAC keeps strangers from naming deliveries by counting.
    """
    mac = hmac.digest(key, b"delivery" + struct.pack(">Q", delivery_id), "sha256")
    return f"{delivery_id:x}.{mac.hex()[:24]}"


def _key_id(key: bytes) -> int:
    return hashlib.sha256(b"key-id" + key).digest()[0]


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, b"token" + message, "sha256")[:_MAC_BYTES]
