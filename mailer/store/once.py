"""Let the database say "once": insert unless a unique key stands there already."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mailer.store.models import Base

Insert = postgresql.Insert | sqlite.Insert


def insert_into(session: Session, table: type[Base] | Table) -> Insert:
    """Return the INSERT of this database's dialect, for its ON CONFLICT."""
    return insert_for(session.get_bind().dialect.name, table)


def insert_for(dialect: str, table: type[Base] | Table) -> Insert:
    """Return the INSERT of the dialect named."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def insert_once(session: Session, table: type[Base] | Table, values: dict[str, Any]) -> bool:
    """Insert the row; return False where one with the same key stands already."""
    statement = insert_into(session, table).values(values).on_conflict_do_nothing()
    kept = {"preserve_rowcount": True}  # an INSERT does not tell it by itself
    return session.connection().execute(statement, execution_options=kept).rowcount > 0
