"""What all tests stand on: real servers, and an installation on either database."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

sys.path.insert(0, str(Path(__file__).parent))

import building as b
import servers

from mailer.settings import Settings, load
from mailer.store.migrate import upgrade
from mailer.wiring import Parts, initialise, open_parts

# How long an example takes says more about the machine's other work than about our code.
hypothesis.settings.register_profile("ours", deadline=None, derandomize=True)
# Other inputs every time: for looking (`make explore`), not for saying whether all is well.
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ours"))

KEYS = {
    "MAILER_SECRET_KEY": "secret-key-of-the-tests-0123456789abcdef",
    "MAILER_SUPPRESSION_KEY": "suppression-key-of-the-tests-0123456789",
    "MAILER_LOG_KEY": "log-key-of-the-tests-0123456789abcdefgh",
    "MAILER_EVIDENCE_KEY": "evidence-key-of-the-tests-0123456789abc",
}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL of this test process."""
    with servers.postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """The name of a migrated database that others are copied from."""
    _create(postgres_server, "template_migrated")
    upgrade(sqlalchemy_url(postgres_server + "template_migrated"))
    return "template_migrated"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that others are copied from."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, migrated database, once of each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "mailer.db")
        return f"sqlite:///{tmp_path / 'mailer.db'}"
    server = request.getfixturevalue("postgres_server")
    name = f"t{secrets.token_hex(6)}"
    _create(server, name, request.getfixturevalue("postgres_template"))
    return sqlalchemy_url(server + name)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database without tables, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    server = request.getfixturevalue("postgres_server")
    name = f"t{secrets.token_hex(6)}"
    _create(server, name)
    return sqlalchemy_url(server + name)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """The settings of an installation of its own."""
    return settings_for(database_url, tmp_path / "home")


@pytest.fixture
def parts(settings: Settings) -> Iterator[Parts]:
    """The running parts of an installation, on either database."""
    yield from opened(settings)


@pytest.fixture
def sqlite_parts(sqlite_template: Path, tmp_path: Path) -> Iterator[Parts]:
    """The running parts on SQLite, for what the database makes no difference to."""
    shutil.copy(sqlite_template, tmp_path / "mailer.db")
    yield from opened(settings_for(f"sqlite:///{tmp_path / 'mailer.db'}", tmp_path / "home"))


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The system's browser."""
    found = servers.chromium()
    if found is None:
        pytest.skip("no Chromium on this machine: `make system` installs it when root")
    return found


def settings_for(database_url: str, home: Path, **more: str) -> Settings:
    """Return settings with the tests' keys."""
    environment = {
        "MAILER_HOME": str(home),
        "MAILER_DATABASE_URL": database_url,
        **KEYS,
        **more,
    }
    return load(environment, directory=home.parent)


def opened(settings: Settings) -> Iterator[Parts]:
    """Yield the parts and put them away."""
    initialise(settings)
    parts = open_parts(settings)
    yield parts
    parts.engine.dispose()


def _create(server: str, name: str, template: str = "template0") -> None:
    with psycopg.connect(server + "postgres", autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def sqlalchemy_url(url: str) -> str:
    """Return the address of a PostgreSQL database with the driver that we use."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture
def made(parts: Parts) -> None:
    """A newsletter."""
    with parts.sessions.begin() as session:
        b.newsletter(session)
