"""Secrets that must stand in the database stand there sealed: a stolen copy of it opens none."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mailer.domain.errors import Refusal

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_PURPOSE = b"mailer: passwords of relays"


class BrokenSeal(Refusal):
    """Sealed under another key, or changed since."""


class Sealer:
    """Seals and opens short texts (Fernet); the first key seals, each of them may open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def seal(self, text: str) -> str:
        """Return the text as nobody without the key can read it."""
        return self._fernet().encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return the text; raises BrokenSeal."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet().decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise BrokenSeal(
                "A relay's password was sealed under another MAILER_SECRET_KEY: add the key that "
                "it was sealed with behind the new one, after a comma, or add the relay anew."
            ) from None

    def _fernet(self) -> MultiFernet:
        # Costs every command ten milliseconds: only those who have sealed something pay them.
        from cryptography.fernet import Fernet, MultiFernet

        derived = [hmac.new(key, _PURPOSE, hashlib.sha256).digest() for key in self._keys]
        return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])
