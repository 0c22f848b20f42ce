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
from dataclasses import dataclass
from enum import IntEnum

_VERSION = 1
_MAC_BYTES = 16  # 128 bits
_HEAD = struct.Struct(">BBB")
_BODY = struct.Struct(">QQQ")


class TokenKind(IntEnum):
    """What the link is for."""

    CONFIRM = 1
    UNSUBSCRIBE = 2
    PREFERENCES = 3


@dataclass(frozen=True, slots=True)
class Token:
    """What a link says: who, at which newsletter, and `serial`: since which request or campaign.

    For CONFIRM the serial is the number of the request that the mail was sent for; for the others
    the campaign that the reader left from (0: none), which is only told, never checked.
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
        self._keys = {_key_id(key): key for key in reversed(keys)}
        self._newest = keys[0]

    def sign(self, token: Token) -> str:
        """Return the token as it stands in a link: 58 characters."""
        head = _HEAD.pack(_VERSION, token.kind, _key_id(self._newest))
        body = _BODY.pack(token.newsletter_id, token.subscriber_id, token.serial)
        mac = _mac(self._newest, head + body)
        return base64.urlsafe_b64encode(head + body + mac).rstrip(b"=").decode()

    def read(self, text: str, kind: TokenKind) -> Token | None:
        """Return what the token says, or None where a single character is not ours."""
        try:
            raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        except (binascii.Error, UnicodeEncodeError, ValueError):
            return None
        # Decoders ignore spare bits and foreign characters; a token has exactly one spelling.
        if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode("ascii"):
            return None
        if len(raw) != _HEAD.size + _BODY.size + _MAC_BYTES:
            return None
        signed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        version, its_kind, key_id = _HEAD.unpack_from(signed)
        key = self._keys.get(key_id)
        if key is None or not hmac.compare_digest(mac, _mac(key, signed)):
            return None
        if version != _VERSION or its_kind != kind:
            return None
        newsletter_id, subscriber_id, serial = _BODY.unpack_from(signed, _HEAD.size)
        return Token(kind, newsletter_id, subscriber_id, serial)


def message_id(delivery_id: int, domain: str, key: bytes) -> str:
    """Return the Message-ID (RFC 5322 §3.6.4) of a delivery: the same in every attempt.

    The MAC keeps strangers from naming deliveries by counting.
    """
    return f"<{delivery_token(delivery_id, key)}@{domain}>"


def delivery_token(delivery_id: int, key: bytes) -> str:
    """Return the opaque name of a delivery that goes into `X-Mailer-Delivery`."""
    mac = hmac.new(key, b"delivery" + struct.pack(">Q", delivery_id), hashlib.sha256)
    return f"{delivery_id:x}.{mac.hexdigest()[:24]}"


def _key_id(key: bytes) -> int:
    return hashlib.sha256(b"key-id" + key).digest()[0]


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, b"token" + message, hashlib.sha256).digest()[:_MAC_BYTES]
