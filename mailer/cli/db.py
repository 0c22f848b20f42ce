"""`mailer db`: the database."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mailer.cli.console import AsJson, Yes, answer, ask, example, say
from mailer.cli.noting import looked
from mailer.cli.opening import open_installation
from mailer.domain.errors import Refusal
from mailer.domain.leaves import instant
from mailer.embedded.supervisor import supervisor_of
from mailer.services.installation.alive import alive_workers
from mailer.services.operations.resuming import Resumed, resume
from mailer.services.privacy.erasing import erase_again
from mailer.settings import Settings, load
from mailer.store.backup import (
    CannotCopy,
    back_up,
    integrity_problems,
    restore,
    set_up_at,
    sqlite_file,
)
from mailer.store.engine import open_engine, reading
from mailer.store.halting import halted_reason
from mailer.store.migrate import refuse_wrong_version
from mailer.store.migrate import upgrade as upgrade_tables
from mailer.store.witness_folder import WitnessFolder
from mailer.wiring import now, open_parts, open_service, service_role_of, vault_of

app = typer.Typer()

_POSTGRESQL_BACKUP = (
    "This database is PostgreSQL: back it up with "
    "`pg_dump --format=custom --file=FILE DATABASE`, while everything runs."
)
_LETS_OTHERS_WRITE = 0.002  # seconds, on SQLite

_POSTGRESQL_RESTORE = (
    "This database is PostgreSQL: stop everything, then restore with "
    "`pg_restore --clean --if-exists --dbname=DATABASE FILE`. Nothing is sent from it until "
    "`mailer db resume`."
)


class BrokenDatabase(Refusal):
    """The check found something wrong."""


@app.command(epilog=example("mailer db upgrade"))
def upgrade(as_json: AsJson = False) -> None:
    """Create or upgrade the tables; does nothing where all is up to date."""
    settings = load()
    role = service_role_of(settings)
    vault = vault_of(settings) if "MAILER_EVIDENCE_KEY" in settings.keys else None
    upgrade_tables(settings.migration_url, vault, role=role)
    granted = f" The role {role} may do what the service needs, and no more." if role else ""
    document = {"upgraded": True, "role": role}
    answer(as_json, document, f"The tables are those of this version.{granted}")


@app.command(epilog=example("mailer db backup mailer-2026-11-24.db"))
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    as_json: AsJson = False,
) -> None:
    """Copy an SQLite database while everything runs. Keep the keys' folder with it."""
    settings = load()
    database = sqlite_file(settings.database_url, _POSTGRESQL_BACKUP)
    if database.is_file() and not file.exists():
        _note(settings, "db backup")
    back_up(database, file)
    size = file.stat().st_size
    answer(
        as_json,
        {"file": str(file), "bytes": size},
        f"Wrote {file} ({size:,} bytes). Keep a copy of {settings.keys_dir} with it.",
    )


@app.command("restore", epilog=example("mailer db restore mailer-2026-11-24.db --yes"))
def put_back(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file that `mailer db backup` wrote.")
    ],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the database's place; stop everything else first.

    Nothing is sent from it until `mailer db resume` (docs/how-to/restore.md).
    """
    settings = load()
    database = sqlite_file(settings.database_url, _POSTGRESQL_RESTORE)
    if not file.is_file():
        raise CannotCopy(f"There is no file {file}: check the path.")
    _refuse_while_running(settings)
    ask(f"Everything that happened since {file} was written is lost.", yes=yes)
    set_up = set_up_at(file)
    if set_up is not None:
        WitnessFolder(settings.witness_dir).note_before_all(instant(set_up))
    before = restore(file, database, halt=f"{file.name} was restored.", now=now())
    with suppress(Refusal):  # of an older version: when it is upgraded and started
        open_service(settings).engine.dispose()
    _note(settings, "db restore")
    kept = f" What was there is kept as {before}." if before else ""
    answer(
        as_json,
        {"file": str(file), "database": str(database), "before": before},
        f"{database} is as it was in {file}.{kept} Nothing is sent from it yet. Next: "
        "`mailer db check`, then `mailer db resume`.",
    )


@app.command("resume", epilog=example("mailer db resume --yes"))
def go_on(yes: Yes = False, as_json: AsJson = False) -> None:
    """End the halt of a restored database.

    Who was erased, suppressed or has left since is so again, as the witness folder tells. What the
    backup believes unsent becomes uncertain, and campaigns and digests are paused: decide on each.
    """
    parts = open_installation()
    with reading(parts.sessions) as session:
        reason = halted_reason(session)
    if reason is None:
        answer(as_json, {"reason": None}, "Nothing is halted, so that nothing was done.")
        return
    ask(f"Halted: {reason} This database becomes the one that is gone on with.", yes=yes)
    done = resume(
        parts.sessions, parts.witness, erase_again=erase_again, operator=parts.operator,
        now=parts.now, pause=lambda: time.sleep(_LETS_OTHERS_WRITE),
    )  # fmt: skip
    answer(as_json, asdict(done), _resumed(done))


@app.command(epilog=example("mailer db check"))
def check(as_json: AsJson = False) -> None:
    """Check the version, and in SQLite every page, index and reference."""
    settings = load()
    engine = open_engine(settings.database_url)
    try:
        refuse_wrong_version(engine)
    finally:
        engine.dispose()
    problems = []
    if engine.dialect.name == "sqlite":
        problems = integrity_problems(sqlite_file(settings.database_url, ""))
    if problems:
        raise BrokenDatabase(
            f"The database is damaged ({problems[0]}): restore a backup with `mailer db restore`."
        )
    answer(as_json, {"database": engine.dialect.name, "problems": []}, "The database is whole.")


def _resumed(done: Resumed) -> str:
    told = (
        f"Told to the database: {done.erased} erased, {done.suppressed} suppressed, "
        f"{done.withdrawn} consents withdrawn. Uncertain now, for they may have gone out since: "
        f"{done.uncertain} mails."
    )
    lost = f"{done.unreadable} lines of the journals cannot be read."
    campaigns = (
        f"Campaign {number} is paused: settle what is uncertain with `mailer campaign reconcile "
        f"{number} …`, then `mailer campaign resume {number}` or `cancel {number}`."
        for number in done.campaigns
    )
    digests = (
        f"Digest {digest} is paused: remove the articles that it has sent since "
        f"(`mailer digest preview {digest}`), then `mailer digest resume {digest}`."
        for digest in done.digests
    )
    left = [*([lost] if done.unreadable else []), *campaigns, *digests]
    return "\n".join([told, *left, "The halt is over."])


def _note(settings: Settings, action: str) -> None:
    """Write the act down, unless this version cannot work with the database: say so then."""
    try:
        parts = open_parts(settings)
    except Refusal as refusal:
        say(f"This act is not in the audit trail: {refusal}")
        return
    try:
        looked(parts, action)
    finally:
        parts.engine.dispose()


def _refuse_while_running(settings: Settings) -> None:
    """Raise CannotCopy where somebody still writes to the database that is to be replaced."""
    for folder in (settings.home, settings.home / "worker"):
        process = supervisor_of(folder)
        if process:
            raise CannotCopy(
                f"`mailer` runs on {settings.home} (process {process}): stop it first."
            )
    try:
        parts = open_parts(settings)
        with reading(parts.sessions) as session:
            alive = alive_workers(session, now=parts.now())
    except Refusal:
        return  # damaged, or of another version: nobody works with it
    if alive:
        raise CannotCopy(f"The worker {alive[0].name} is alive: stop it first.")
