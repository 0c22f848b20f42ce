"""What `mailer doctor` finds of what protects the log: halt, witness folder, role, checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from mailer.cli.doctor.findings import Finding
from mailer.services.consent.checkpoints import Notary, not_signed
from mailer.services.consent.witnessing import look
from mailer.settings import Settings
from mailer.store.halting import ADVICE, halted_reason
from mailer.store.roles import owner_that_we_are
from mailer.store.witness_folder import WitnessFolder


def witness_findings(session: Session, settings: Settings) -> Iterator[Finding]:
    """Yield whether anything is sent, and what would tell that the database is an old one."""
    reason = halted_reason(session)
    if reason is not None:
        yield Finding("halt", False, f"nothing is sent: {reason} {ADVICE}")
    yield _folder(session, settings)
    owner = owner_that_we_are(session)
    if owner is not None:
        yield Finding(
            "database role", True,
            f"the service works as {owner}, who owns the tables, and could change what readers "
            "said: give it a role of its own (docs/how-to/roles.md).",
            warns=True,
        )  # fmt: skip


def checkpoint_finding(session: Session, notary: Notary, *, now: datetime) -> Finding:
    """Return whether the consent log is signed as it should be."""
    wrong = not_signed(session, notary, now=now)
    if wrong is not None:
        return Finding("consent log", False, wrong)
    return Finding("consent log", True, "it is all that was signed")


def _folder(session: Session, settings: Settings) -> Finding:
    folder = settings.witness_dir.absolute()
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding("witness", False, f"{folder} cannot be written: give {there} to this user.")
    try:
        found = look(session, WitnessFolder(folder))
    except OSError as error:
        return Finding("witness", False, f"{folder} cannot be read ({error.strerror}).")
    if found.wrong is not None:
        return Finding("witness", False, found.wrong)
    if _lies_beside_database(session, folder):
        return Finding(
            "witness", True,
            f"{folder} lies beside the database: whoever puts both back together, such as a "
            "snapshot of the disk, brings back an old state that cannot be told. Set "
            "MAILER_WITNESS_DIR to another disk or machine (docs/how-to/restore.md).",
            warns=True,
        )  # fmt: skip
    return Finding("witness", True, f"{folder} is apart from the database")


def _lies_beside_database(session: Session, folder: Path) -> bool:
    url = session.get_bind().engine.url
    database = url.database if url.get_backend_name() == "sqlite" else None
    return bool(database) and folder.is_relative_to(Path(str(database)).absolute().parent)
