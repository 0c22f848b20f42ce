"""Private keys for DKIM, from PEM files to something that signs."""

from __future__ import annotations

from base64 import b64encode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from mailer.domain.errors import Refusal
from mailer.rendering.dkim import Algorithm, DkimKey

SHORTEST_RSA = 1024
"""Bits: receivers do not take shorter keys for valid (RFC 8301 §3.2)."""

_ED25519_BITS = 256
_PADDING, _HASHED = PKCS1v15(), Prehashed(SHA256())


class KeyRefused(Refusal):
    """This is no key to sign with; the message goes on from the file's name."""


def rsa_key(selector: str, pem: bytes) -> DkimKey:
    """Return the RSA key of a PEM file (RSASSA-PKCS1-v1_5); raises KeyRefused."""
    private = _private_key(pem)
    if not isinstance(private, RSAPrivateKey):
        raise KeyRefused("holds no RSA key: make one of 2048 bits")
    if private.key_size < SHORTEST_RSA:
        raise KeyRefused(f"holds an RSA key of {private.key_size} bits: make one of 2048 bits")
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return DkimKey(
        selector,
        Algorithm.RSA,
        private.key_size,
        b64encode(public).decode(),
        lambda digest: private.sign(digest, _PADDING, _HASHED),
    )


def ed25519_key(selector: str, pem: bytes) -> DkimKey:
    """Return the Ed25519 key of a PEM file: it signs the digest itself (RFC 8463 §3)."""
    private = _private_key(pem)
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyRefused("holds no Ed25519 key: make one")
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return DkimKey(
        selector, Algorithm.ED25519, _ED25519_BITS, b64encode(public).decode(), private.sign
    )


def _private_key(pem: bytes) -> object:
    try:
        return load_pem_private_key(pem, None)
    except TypeError:
        raise KeyRefused("is locked with a password: store the key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefused("holds no private key that can be used: give a PEM file") from None
