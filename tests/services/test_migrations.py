"""The tables: up from empty on both databases, and clear words for any other version."""

import pytest
from alembic import command
from sqlalchemy import inspect, text

from mailer.store.engine import NoDatabase, open_engine, refuse_unreachable
from mailer.store.migrate import WrongDatabaseVersion, _config, refuse_wrong_version, upgrade


def test_the_tables_come_up_from_empty_and_a_second_upgrade_changes_nothing(
    empty_database_url: str,
) -> None:
    upgrade(empty_database_url)
    upgrade(empty_database_url)
    engine = open_engine(empty_database_url)
    refuse_wrong_version(engine)
    tables = set(inspect(engine).get_table_names())
    assert {"delivery", "attempt", "consent_event", "consent_evidence", "relay_state"} <= tables
    engine.dispose()


def test_the_migrations_make_exactly_the_tables_of_the_models(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    engine = open_engine(empty_database_url)
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.check(config)
    engine.dispose()


def test_an_empty_database_is_told_from_an_older_and_a_newer_one(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    with pytest.raises((WrongDatabaseVersion, NoDatabase), match="mailer init"):
        refuse_wrong_version(engine)
    upgrade(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from-the-future'"))
    with pytest.raises(WrongDatabaseVersion, match="newer version"):
        refuse_wrong_version(engine)
    with pytest.raises(WrongDatabaseVersion, match="newer version"):
        upgrade(empty_database_url)
    engine.dispose()


def test_a_month_of_deliveries_can_be_a_partition_of_its_own(postgres_server: str) -> None:
    url = postgres_server.replace("postgresql://", "postgresql+psycopg://") + "postgres"
    engine = open_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE partitions"))
    engine.dispose()
    upgrade(url.removesuffix("postgres") + "partitions")
    engine = open_engine(url.removesuffix("postgres") + "partitions")
    with engine.begin() as connection:
        for table in ("delivery", "attempt"):
            connection.execute(
                text(
                    f"CREATE TABLE {table}_202701 PARTITION OF {table} "
                    "FOR VALUES FROM (202701) TO (202702)"
                )
            )
        connection.execute(
            text(
                "INSERT INTO attempt (period, delivery_id, fence, at, relay, outcome, stage, reply)"
                " VALUES (202701, 1, 1, now(), 'r', 'sent', 'dot', '')"
            )
        )
        assert connection.scalar(text("SELECT count(*) FROM attempt_202701")) == 1
    engine.dispose()


def test_sqlite_is_set_up_to_lose_nothing(sqlite_template: object) -> None:
    engine = open_engine(f"sqlite:///{sqlite_template}")
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys", "secure_delete")
        }
    assert pragmas == {
        "synchronous": 2,
        "journal_mode": "wal",
        "foreign_keys": 1,
        "secure_delete": 1,
    }
    engine.dispose()


def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    engine = open_engine("postgresql+psycopg://u:hidden@127.0.0.1:1/x")
    with pytest.raises(NoDatabase) as refusal:
        refuse_unreachable(engine)
    assert "hidden" not in str(refusal.value)
    assert "MAILER_DATABASE_URL" in str(refusal.value)
