"""Statements of the hot path: written with SQLAlchemy once, run by the driver itself.

A round of the ledger is one statement with one parameter or two; what SQLAlchemy does around each
execution would cost as much as all else that the sender does for a mail.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql import ClauseElement

Build = Callable[[str], ClauseElement]


def run(connection: Connection, build: Build, **parameters: Any) -> list[tuple[Any, ...]]:
    """Run the statement that `build` makes for a dialect's name; return its rows.

    In the connection's transaction. Raises the driver's own errors.
    """
    sql, fixed, order = _compiled(build, connection.dialect)
    values = {**fixed, **parameters}
    driver = connection.connection.driver_connection
    assert driver is not None
    if order is not None:  # SQLite: by position
        cursor = driver.execute(sql, [values[name] for name in order])
    else:
        cursor = driver.execute(sql, values, prepare=True)
    rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
    return rows


@cache
def _compiled(build: Build, dialect: Dialect) -> tuple[str, dict[str, Any], list[str] | None]:
    compiled: Any = build(dialect.name).compile(dialect=dialect)
    return str(compiled), dict(compiled.params), compiled.positiontup
