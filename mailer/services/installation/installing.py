"""Setting an installation up: keys, tables, and the memory of which keys belong to it."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.store.models import Installation
from mailer.store.once import insert_once


class WrongKeys(Refusal):
    """This process has other keys than the database was set up with."""


def make_keys(folder: Path, names: tuple[str, ...], known: Mapping[str, str]) -> list[str]:
    """Write a fresh key for every name that has none, mode 0600; return the names."""
    made = []
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in names:
        path = folder / name.lower()
        if name in known or path.exists():
            continue
        temporary = folder / f".{name.lower()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        made.append(name)
    return made


def keys_are_known(session: Session, keys: Mapping[str, str]) -> bool:
    """Say whether the database knows all of these keys, and no other: nothing is to be written."""
    installation = session.get(Installation, 1)
    known = installation.key_fingerprints if installation else {}
    return known.keys() == keys.keys() and all(
        set(_fingerprints(value)) <= set(known[name]) for name, value in keys.items()
    )


def remember_keys(session: Session, keys: Mapping[str, str], *, now: datetime) -> None:
    """Note the keys' fingerprints at the first start; refuse other keys ever after."""
    fingerprints = {name: _fingerprints(value) for name, value in keys.items()}
    first = {"id": 1, "key_fingerprints": fingerprints, "created_at": now}
    known = session.get(Installation, 1)
    if known is None:
        if insert_once(session, Installation, first):  # several processes start at once
            return
        known = session.get_one(Installation, 1)
    for name, expected in known.key_fingerprints.items():
        # A rotated key is fine as long as one that is known stands beside it.
        if not set(expected) & set(fingerprints.get(name, [])):
            raise WrongKeys(
                f"{name} is not the key that this database was set up with: give this process "
                "the same keys as the others (environment, *_FILE, or MAILER_HOME/keys)."
            )
    if known.key_fingerprints != fingerprints:
        merged = {
            name: sorted({*known.key_fingerprints.get(name, []), *values})
            for name, values in fingerprints.items()
        }
        if merged != known.key_fingerprints:
            known.key_fingerprints = merged


def _fingerprints(value: str) -> list[str]:
    parts = [part.strip() for part in value.split(",") if part.strip()]
    return sorted(hashlib.sha256(b"fingerprint" + part.encode()).hexdigest()[:16] for part in parts)
