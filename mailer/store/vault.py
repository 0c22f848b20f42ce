"""Readers' keys, and the personal evidence that is sealed under them.

Every reader has a random key of their own. It is kept sealed under MAILER_EVIDENCE_KEY with the
reader's row, and destroyed with it: what was sealed under it cannot be read any more, wherever a
copy of it lies, as long as that copy is without the row.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.domain.leaves import canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY = 32  # octets
_NONCE = 12  # octets, as AES-GCM wants them (NIST SP 800-38D §8.2)
_OF_KEYS = b"mailer: keys of readers"
_OF_EVIDENCE = b"evidence"


class LostEvidence(Refusal):
    """Sealed under another key, or changed since."""


class Vault:
    """Makes readers' keys and opens them; the first master key seals, each of them may open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def __reduce__(self) -> tuple[type[Vault], tuple[Sequence[bytes]]]:
        """Go to another process of ours as the keys alone: what is made of them stays here."""
        return Vault, (self._keys,)

    @staticmethod
    def of(session: Session) -> Vault:
        """Return the vault that the session was opened with (`open_sessions`)."""
        vault = session.info["vault"]
        assert isinstance(vault, Vault)
        return vault

    def new_key(self) -> tuple[bytes, bytes]:
        """Return a fresh key for a reader, and the same one sealed, as it is stored."""
        random = os.urandom(_KEY + _NONCE)
        key, nonce = random[:_KEY], random[_KEY:]
        return key, nonce + self._masters[0].encrypt(nonce, key, _OF_KEYS)

    def open_key(self, sealed: bytes) -> bytes:
        """Return a reader's key; raises LostEvidence."""
        from cryptography.exceptions import InvalidTag

        for master in self._masters:
            try:
                return master.decrypt(sealed[:_NONCE], sealed[_NONCE:], _OF_KEYS)
            except (InvalidTag, ValueError):
                continue
        raise LostEvidence(
            "A reader's key cannot be opened: it was sealed under another MAILER_EVIDENCE_KEY (add "
            "that one behind the new one, after a comma), or the database was changed."
        )

    def seal(self, reader_key: bytes, event_id: str, personal: Mapping[str, str]) -> bytes:
        """Return the personal part of an event as nobody can read it without the reader's key."""
        return self.seal_spelled(reader_key, event_id, canonical(personal))

    def seal_spelled(self, reader_key: bytes, event_id: str, spelled: bytes) -> bytes:
        """Seal a personal part that is spelled already."""
        nonce = os.urandom(_NONCE)
        return nonce + _cipher(reader_key).encrypt(nonce, spelled, event_id.encode())

    def open(self, reader_key: bytes, event_id: str, sealed: bytes) -> dict[str, str]:
        """Return the personal part of an event; raises LostEvidence."""
        found = json.loads(self.unsealed(reader_key, event_id, sealed))
        return {str(name): str(value) for name, value in found.items()}

    def unsealed(self, reader_key: bytes, event_id: str, sealed: bytes) -> bytes:
        """Return the same as it was sealed: in canonical JSON; raises LostEvidence."""
        from cryptography.exceptions import InvalidTag

        try:
            return _cipher(reader_key).decrypt(sealed[:_NONCE], sealed[_NONCE:], event_id.encode())
        except (InvalidTag, ValueError):
            raise LostEvidence(
                f"The evidence of consent event {event_id} cannot be opened: the database was "
                "changed. `mailer consent audit` says what else was."
            ) from None

    @cached_property
    def _masters(self) -> list[AESGCM]:
        # Costs every command ten milliseconds: only those who seal or open something pay them.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return [AESGCM(hmac.new(key, _OF_KEYS, hashlib.sha256).digest()) for key in self._keys]


def _cipher(reader_key: bytes) -> AESGCM:
    return _kind_of_cipher()(hmac.digest(reader_key, _OF_EVIDENCE, "sha256"))


@cache
def _kind_of_cipher() -> type[AESGCM]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM
