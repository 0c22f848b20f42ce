"""The service as a PostgreSQL role that does not own the tables: it can do its work, and no more.

Everything that is imported below runs once more as that role: sign-up, confirming, preferences,
campaigns, sending, settling by a log, imports; the log, proofs, erasing, retention and the audit.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

import building as b
import psycopg
import pytest
from conftest import settings_for, sqlalchemy_url
from psycopg import sql
from services.test_campaigns import *  # noqa: F403
from services.test_confirming import *  # noqa: F403
from services.test_digests import *  # noqa: F403
from services.test_import_known import *  # noqa: F403
from services.test_preferences import *  # noqa: F403
from services.test_proof_after_erasure import *  # noqa: F403
from services.test_reconciling import *  # noqa: F403
from services.test_sending import *  # noqa: F403
from services.test_signup import *  # noqa: F403
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, ProgrammingError

from mailer.cli.doctor.witness import witness_findings
from mailer.settings import Settings
from mailer.store.engine import open_engine
from mailer.store.migrate import upgrade
from mailer.store.models import Base, Notice
from mailer.store.roles import CannotGrant, NotOurTables, owner_that_we_are, service_role
from mailer.wiring import Parts, initialise, open_parts

OWNER, SERVICE = "mailer_owner", "mailer_service"
LOG = ("consent_event", "consent_log", "consent_tile", "consent_checkpoint", "notice")


@pytest.fixture(scope="module")
def owned_template(postgres_server: str) -> str:
    """A database that the owner's role has made, and the service's role may use."""
    with psycopg.connect(postgres_server + "postgres", autocommit=True) as connection:
        for role in (OWNER, SERVICE):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        connection.execute(f"CREATE DATABASE owned OWNER {OWNER} TEMPLATE template0")
    upgrade(_as(OWNER, postgres_server + "owned"), role=SERVICE)
    return "owned"


@pytest.fixture
def database_url(postgres_server: str, owned_template: str) -> str:
    """A copy of it, as the service sees it."""
    name = f"r{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server + "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {owned_template}")
    return _as(SERVICE, postgres_server + name)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Two URLs: the service's, and the owner's."""
    owner = _as(OWNER, database_url)
    return settings_for(database_url, tmp_path / "home", MAILER_MIGRATION_URL=owner)


@pytest.fixture
def said(parts: Parts) -> Parts:
    """An installation in which a reader has said something."""
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), 1)
    return parts


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE {table} SET {key} = {key}" for table, key in zip(
            LOG, ("id", "event", "level", "size", "id"), strict=True)),
        *(f"DELETE FROM {table}" for table in (*LOG, "operator_action", "alembic_version")),
        *(f"TRUNCATE {table} CASCADE" for table in (*LOG, "subscriber", "operator_action")),
        "UPDATE consent_evidence SET event = event",
        "UPDATE operator_action SET operator = 'nobody'",
        "ALTER TABLE consent_event DISABLE TRIGGER ALL",
        "ALTER TABLE consent_log DROP CONSTRAINT uq_consent_log_event",
        "DROP TRIGGER consent_event_refuses_UPDATE ON consent_event",
        "DROP TABLE consent_log",
        "DROP FUNCTION mailer_refuse CASCADE",
        "CREATE OR REPLACE FUNCTION mailer_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RETURN NEW; END'",
        "SET session_replication_role = replica",
        f"SET ROLE {OWNER}",
        "UPDATE alembic_version SET version_num = '0001'",
    ],
)  # fmt: skip
def test_the_service_cannot_touch_what_was_said(said: Parts, statement: str) -> None:
    with said.sessions() as session, pytest.raises(DatabaseError) as refusal:
        session.execute(text(statement))
    words = str(refusal.value)
    assert "permission denied" in words or "must be owner" in words


def test_the_service_may_write_to_every_other_table(said: Parts) -> None:
    less = {*LOG, "operator_action", "consent_evidence", "consent_pending"}
    with said.sessions() as session:
        for table in sorted({*Base.metadata.tables, "delivery_default", "attempt_default"}):
            verbs = ["SELECT", "INSERT"]
            verbs += ["UPDATE", "DELETE"] if table not in less else []
            for verb in verbs:
                held = text(f"SELECT has_table_privilege('{table}', '{verb}')")
                assert session.scalar(held), f"{verb} on {table}"


def test_not_even_the_owner_changes_a_row_by_mistake(said: Parts) -> None:
    engine = open_engine(said.settings.migration_url)
    with engine.connect() as connection, pytest.raises(DatabaseError, match="never changed"):
        connection.execute(text("UPDATE notice SET text = 'other'"))
    engine.dispose()


def test_a_row_of_the_log_cannot_even_be_locked_for_a_change(said: Parts) -> None:
    with said.sessions() as session, pytest.raises(ProgrammingError, match="permission denied"):
        session.scalars(select(Notice).with_for_update()).all()


def test_granting_again_changes_nothing_and_sees_to_new_tables(said: Parts) -> None:
    before = _rights(said)
    initialise(said.settings)
    assert _rights(said) == before
    owner = open_engine(said.settings.migration_url)
    with owner.begin() as connection:
        connection.execute(text("CREATE TABLE later (id int)"))
    upgrade(said.settings.migration_url, role=SERVICE)
    with said.sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM later")) == 0
    owner.dispose()


def test_a_role_that_is_not_there_is_named(said: Parts) -> None:
    with pytest.raises(CannotGrant, match="CREATE ROLE nobody_at_all LOGIN"):
        upgrade(said.settings.migration_url, role="nobody_at_all")


def test_a_stranger_to_the_tables_is_told_whose_they_are(said: Parts, postgres_server: str) -> None:
    with psycopg.connect(postgres_server + "postgres", autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
    url = _as("stranger", said.settings.migration_url)
    advice = f"name {OWNER} in MAILER_MIGRATION_URL .* `REASSIGN OWNED BY {OWNER} TO stranger`"
    with pytest.raises(NotOurTables, match=advice):
        initialise(replace(said.settings, migration_url=url))


def test_the_service_cannot_grant_anything_to_anybody(said: Parts) -> None:
    swapped = replace(
        said.settings,
        database_url=said.settings.migration_url,
        migration_url=said.settings.database_url,
    )
    with pytest.raises(CannotGrant, match=f"`REASSIGN OWNED BY {OWNER} TO {SERVICE}`"):
        initialise(swapped)


def test_one_role_for_both_owns_the_tables_and_that_is_seen(said: Parts) -> None:
    with said.sessions() as session:
        assert owner_that_we_are(session) is None
    alone = open_parts(replace(said.settings, database_url=said.settings.migration_url))
    with alone.sessions() as session:
        assert owner_that_we_are(session) == OWNER
        found = {each.check: each for each in witness_findings(session, alone.settings)}
        assert found["database role"].result == "warning"
        assert found["witness"].result == "fine"  # for the database is elsewhere
    alone.engine.dispose()
    assert service_role(said.settings.migration_url, said.settings.migration_url) is None


def _rights(parts: Parts) -> list[tuple[str, str]]:
    with parts.sessions() as session:
        rows = session.execute(
            text("SELECT relname, relacl::text FROM pg_class WHERE relacl IS NOT NULL ORDER BY 1")
        )
        return [(name, rights) for name, rights in rows]


def _as(role: str, url: str) -> str:
    parsed = make_url(sqlalchemy_url(url) if url.startswith("postgresql://") else url)
    return parsed.set(username=role).render_as_string(hide_password=False)
