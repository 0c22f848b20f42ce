"""DKIM signatures (RFC 6376, RFC 8301; Ed25519: RFC 8463). Pure: bytes in, header fields out.

Canonicalisation is relaxed for the header and simple for the body, so that a body that ends with
exactly one CRLF is hashed as it is (§3.4.3). What all readers of a variant have in common is
canonicalised and hashed once, in a `HeaderForm`; one reader costs the fields that differ, the
body's hash, and a signature per key.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

SIGNED = (
    *("From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type"),
    *("Content-Transfer-Encoding", "Content-Language", "Auto-Submitted"),
    *("List-Id", "List-Post", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post"),
    "Feedback-ID",
)
"""What is signed where it occurs: all that a reader or a mail program acts upon (§5.4.1), and both
fields that one-click leaving wants signed (RFC 8058 §4)."""

OVERSIGNED = (
    *("From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type"),
    *("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post"),
)
"""Named once more than they occur, so that nobody can add a second one (§8.15)."""

_SPACES = re.compile(rb"[ \t]+")
_WIDTH = 72
_LONGEST_TXT_STRING = 255


class Algorithm(StrEnum):
    """A kind of key, as `k=` names it; signatures say `a=…-sha256`."""

    RSA = "rsa"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A private key in use; `sign` takes a SHA-256 digest, `public` is the text behind `p=`."""

    selector: str
    algorithm: Algorithm
    bits: int
    public: str
    sign: Callable[[bytes], bytes]

    def record(self, domain: str) -> str:
        """Return the line of a zone file that publishes the key (§3.6.2, RFC 8463 §4)."""
        text = f"v=DKIM1; k={self.algorithm}; p={self.public}"
        strings = (
            f'"{text[at : at + _LONGEST_TXT_STRING]}"'
            for at in range(0, len(text), _LONGEST_TXT_STRING)
        )
        return f"{self.selector}._domainkey.{domain}. IN TXT {' '.join(strings)}"


@dataclass(frozen=True, slots=True)
class DkimSigner:
    """Signs for one domain, once with each key: receivers take the signature that they know."""

    domain: str
    keys: tuple[DkimKey, ...]

    def form(self, fields: Sequence[bytes | str]) -> HeaderForm:
        """Prepare a header: fields as they stand, or the names of those that differ by reader."""
        return HeaderForm(self, fields)


class HeaderForm:
    """A header, prepared for signing.

    Raises ValueError where a field that is signed occurs twice: ours never do (RFC 5322 §3.6).
    """

    def __init__(self, signer: DkimSigner, fields: Sequence[bytes | str]) -> None:
        found = dict(_named(fields))
        shared = [name for name in SIGNED if isinstance(found.get(name.lower()), bytes)]
        self.own = tuple(name for name in SIGNED if isinstance(found.get(name.lower()), str))
        """The fields that `sign` wants, in this order."""
        self.names = (*shared, *self.own, *OVERSIGNED)
        """What `h=` says; any order will do (§5.4), so that what is shared goes first."""
        self._shared = sha256(b"".join(relaxed(_bytes(found[name.lower()])) for name in shared))
        self._signatures = [
            (key.sign, raw, relaxed(raw).removesuffix(b"\r\n"))
            for key in signer.keys
            for raw in [_unsigned(signer.domain, key, self.names)]
        ]

    def sign(self, own: Iterable[bytes], body: bytes, *, at: datetime) -> bytes:
        """Return the signatures' header fields; `body` ends with exactly one CRLF."""
        stamp = (int(at.timestamp()), b64encode(sha256(body).digest()))
        header = self._shared.copy()
        header.update(b"".join([relaxed(field) for field in own]))
        signed = []
        for sign, raw, canonical in self._signatures:
            hashed = header.copy()
            hashed.update(canonical % stamp)  # with an empty b=, and without a CRLF (§3.7)
            signature = b64encode(sign(hashed.digest()))
            signed.append(raw % stamp + _folded(signature) + b"\r\n")
        return b"".join(signed)


def relaxed(field: bytes) -> bytes:
    """Return the field in relaxed form (§3.4.2)."""
    name, _, value = field.partition(b":")
    unfolded = _SPACES.sub(b" ", value.replace(b"\r\n", b""))
    return name.rstrip(b" \t").lower() + b":" + unfolded.strip(b" ") + b"\r\n"


def _named(fields: Sequence[bytes | str]) -> Iterator[tuple[str, bytes | str]]:
    """Yield the signed fields by their names in small letters."""
    wanted = {name.lower() for name in SIGNED}
    seen = set()
    for field in fields:
        name = field if isinstance(field, str) else field.partition(b":")[0].decode("latin-1")
        name = name.strip(" \t").lower()
        if name in seen:
            raise ValueError(f"the field {name} occurs twice")
        if name in wanted:
            seen.add(name)
            yield name, field


def _bytes(field: bytes | str) -> bytes:
    assert isinstance(field, bytes)
    return field


def _unsigned(domain: str, key: DkimKey, names: Sequence[str]) -> bytes:
    """Return the signature's field up to its empty `b=`, open for the time and the body's hash."""
    lines, line = [], " h="
    for name in (f"{name}:" for name in names):
        if len(line) + len(name) > _WIDTH:
            lines.append(line)
            line = "  "
        line += name
    listed = "\r\n".join([*lines, line]).removesuffix(":")
    return (
        f"DKIM-Signature: v=1; a={key.algorithm}-sha256; c=relaxed/simple;\r\n"
        f" d={domain}; s={key.selector};\r\n"
        f"{listed};\r\n"
        " t=%d; bh=%s;\r\n"
        " b="
    ).encode("ascii")


def _folded(signature: bytes) -> bytes:
    """Fold base64, in which white space says nothing (§3.5)."""
    return b"\r\n ".join([signature[at : at + _WIDTH] for at in range(0, len(signature), _WIDTH)])
