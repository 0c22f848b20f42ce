"""Checkpoints: signed statements of how long the consent log was, and of its root.

The bytes are those of C2SP: tlog-checkpoint in a signed-note, signed with Ed25519, the public key
written as a vkey. So tools that know transparency logs read them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailer.domain.errors import Refusal
from mailer.domain.merkle import HASH_SIZE

LARGEST_SIZE = 2**53 - 1
"""What every language reads from JSON without loss."""

_ED25519 = b"\x01"  # C2SP signed-note: the type of a key
_SEED = b"mailer: consent log, Ed25519"
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")
_NAME = re.compile(r"[!-*,-~]{1,300}")  # printable ASCII without space and plus
_LONGEST_NOTE = 16_384


class BadCheckpoint(Refusal):
    """A checkpoint that proves nothing; `step` names what was looked at when that was found."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


class BadKey(Refusal):
    """A text that is no public key of a log."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How long a log was, and its root; `origin` names the log."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed: three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What a log's checkpoints are verified with; `name` is the origin of the log."""

    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        """Four octets that tell a log's keys apart."""
        named = self.name.encode() + b"\n" + _ED25519 + self.key
        return hashlib.sha256(named).digest()[:4]

    @property
    def text(self) -> str:
        """The key as people hand it on: name, id and key."""
        encoded = base64.b64encode(_ED25519 + self.key).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"

    @staticmethod
    def parse(text: str) -> PublicKey:
        """Read such a text; raises BadKey."""
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = _decoded(encoded)
        if not _NAME.fullmatch(name) or raw is None:
            raise BadKey(
                f"“{_short(text)}” is no public key of a log: it is written NAME+ID+KEY, as "
                "`mailer consent checkpoint --public-key` prints it."
            )
        if raw[:1] != _ED25519 or len(raw) != 33:
            raise BadKey(f"The public key of {name} is none of Ed25519: ask for another one.")
        found = PublicKey(name, raw[1:])
        if found.id.hex() != key_id:
            raise BadKey(
                f"The public key of {name} was changed: its id is {_short(key_id)}, and should be "
                f"{found.id.hex()}. Ask for it again."
            )
        return found


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The private key of a log, derived from MAILER_LOG_KEY."""

    secret: bytes

    def public(self, origin: str) -> PublicKey:
        """Return what its signatures are verified with."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.from_private_bytes(self._seed()).public_key()
        return PublicKey(origin, key.public_bytes_raw())

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the checkpoint as a signed note."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.from_private_bytes(self._seed())
        signature = key.sign(checkpoint.text.encode())
        encoded = base64.b64encode(self.public(checkpoint.origin).id + signature).decode()
        return f"{checkpoint.text}\n— {checkpoint.origin} {encoded}\n"

    def _seed(self) -> bytes:
        return hmac.digest(self.secret, _SEED, "sha256")


def read_checkpoint(note: str) -> Checkpoint:
    """Return what a signed note says, believed or not; raises BadCheckpoint."""
    return _split(note)[0]


def verify_checkpoint(note: str, keys: Sequence[PublicKey]) -> tuple[Checkpoint, PublicKey]:
    """Return what a signed note says and which of the keys signed it; raises BadCheckpoint."""
    checkpoint, signatures = _split(note)
    names = {key.name for key in keys}
    if checkpoint.origin not in names:
        raise BadCheckpoint(
            "origin",
            f"The checkpoint is of another log: its origin is {checkpoint.origin}, and the key is "
            f"of {' or '.join(sorted(names))}.",
        )
    for key in keys:
        for name, key_id, signature in signatures:
            if (name, key_id) != (key.name, key.id) or name != checkpoint.origin:
                continue
            if not _verifies(key, checkpoint.text, signature):
                raise BadCheckpoint(
                    "signature",
                    f"The checkpoint of {name} was changed: its signature is not of these words.",
                )
            return checkpoint, key
    signers = ", ".join(f"{name}+{key_id.hex()}" for name, key_id, _ in signatures)
    raise BadCheckpoint(
        "key", f"The checkpoint of {checkpoint.origin} is signed by another key ({signers})."
    )


def _split(note: str) -> tuple[Checkpoint, list[tuple[str, bytes, bytes]]]:
    body, separator, signed = note.rpartition("\n\n")
    lines = body.split("\n")
    if not separator or len(note) > _LONGEST_NOTE or len(lines) != 3 or not signed.endswith("\n"):
        raise _unreadable("it is not three lines, an empty one, and signatures")
    origin, size, encoded = lines
    root = _decoded(encoded)
    if not _NAME.fullmatch(origin):
        raise _unreadable("its origin cannot be one")
    if not _SIZE.fullmatch(size) or int(size) > LARGEST_SIZE:
        raise _unreadable(f"“{_short(size)}” is no size")
    if root is None or len(root) != HASH_SIZE:
        raise _unreadable("its root is no SHA-256 in base64")
    return Checkpoint(origin, int(size), root), [
        _signature(line) for line in signed[:-1].split("\n")
    ]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    raw = _decoded(encoded)
    if dash != "—" or not _NAME.fullmatch(name) or raw is None or len(raw) < 5:
        raise _unreadable(f"“{_short(line)}” is no signature")
    return name, raw[:4], raw[4:]


def _verifies(key: PublicKey, text: str, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signature, text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def _decoded(encoded: str) -> bytes | None:
    """Return the octets, if this is their only spelling in base64."""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    return raw if base64.b64encode(raw).decode() == encoded else None


def _unreadable(why: str) -> BadCheckpoint:
    return BadCheckpoint("checkpoint", f"The checkpoint cannot be read: {why}.")


def _short(text: str) -> str:
    return "".join(character for character in text[:60] if character.isprintable())
