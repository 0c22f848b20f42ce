"""Bring a database to this version's tables, and refuse one that stands elsewhere."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from mailer.domain.errors import Refusal
from mailer.store.engine import open_engine, refuse_unreachable
from mailer.store.roles import grant, refuse_stranger
from mailer.store.vault import Vault

_MIGRATIONS = Path(__file__).parent / "migrations"


class WrongDatabaseVersion(Refusal):
    """The database's tables are not those of this version of the program."""


def upgrade(url: str, vault: Vault | None = None, *, role: str | None = None) -> None:
    """Create or upgrade all tables in one transaction; does nothing where all is up to date.

    The vault seals what an older version has left open; an empty database needs none. `role` is
    the service's on PostgreSQL, where it is another than the owner's: it is granted what it needs.
    """
    engine = open_engine(url)
    try:
        refuse_unreachable(engine, make=True)
        _refuse_newer(engine)
        config = _config()
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            config.attributes["vault"] = vault
            command.upgrade(config, "head")
            if role is not None:
                grant(connection, role)
    finally:
        engine.dispose()


def create(url: str, *, role: str | None = None) -> None:
    """Make the tables in an empty database; in one that has them, only see to the service's role.

    Raises WrongDatabaseVersion: an older database is upgraded when an operator says so.
    """
    engine = open_engine(url)
    try:
        refuse_unreachable(engine, make=True)
        if _current(engine) is not None:
            refuse_wrong_version(engine)
            if role is not None:
                with engine.begin() as connection:
                    grant(connection, role)
            return
    finally:
        engine.dispose()
    upgrade(url, role=role)


def refuse_wrong_version(engine: Engine) -> None:
    """Raise WrongDatabaseVersion unless the tables are exactly this version's."""
    refuse_unreachable(engine)
    _refuse_newer(engine)
    current = _current(engine)
    if current is None:
        raise WrongDatabaseVersion("The database is empty: run `mailer init` first.")
    if current != _scripts().get_current_head():
        raise WrongDatabaseVersion(
            "The database is of an older version: back it up, then run `mailer db upgrade`."
        )


def _refuse_newer(engine: Engine) -> None:
    current = _current(engine)
    if current is None and _has_tables(engine):
        raise WrongDatabaseVersion(
            "The database holds tables without saying of which version: choose an empty database, "
            "or restore a backup."
        )
    known = {script.revision for script in _scripts().walk_revisions()}
    if current is not None and current not in known:
        raise WrongDatabaseVersion(
            f"The database is of a newer version ({current}) than this program: "
            "install the newer mailer, or restore a backup made with this one."
        )


def _current(engine: Engine) -> str | None:
    refuse_stranger(engine)
    with engine.connect().execution_options(read_only=True) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _has_tables(engine: Engine) -> bool:
    with engine.connect().execution_options(read_only=True) as connection:
        return bool(inspect(connection).get_table_names())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
