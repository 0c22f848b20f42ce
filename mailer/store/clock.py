"""The database's own clock, as SQL: leases must not depend on the clocks of many machines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, Dialect, Float, Text, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

_SQLITE_FORMAT = "%Y-%m-%d %H:%M:%f"


class Instant(TypeDecorator[datetime]):
    """A point in time: aware in Python, `timestamptz` or UTC text with milliseconds below.

    SQLite compares the text, so every value has the one form that its `strftime` writes too.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        utc = value.astimezone(UTC)
        if dialect.name == "sqlite":
            return utc.replace(tzinfo=None).isoformat(" ", "milliseconds")
        return utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        return value.astimezone(UTC) if isinstance(value, datetime) else None


class DatabaseTime(FunctionElement[datetime]):
    """The database's time now, moved by a number of seconds: a value, or a column's."""

    type = Instant()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[float] = 0.0) -> None:
        moved = literal(seconds, Float) if isinstance(seconds, float | int) else seconds
        super().__init__(moved)


class Later(FunctionElement[datetime]):
    """A moment, and a number of seconds after it that differs from row to row."""

    type = Instant()
    inherit_cache = True

    def __init__(self, moment: datetime, seconds: ColumnElement[Any]) -> None:
        super().__init__(literal(moment, Instant), seconds)


Now = datetime | None
"""The time as services take it: a value, or None for the database's own clock."""


def at(now: Now, offset: timedelta = timedelta()) -> ColumnElement[datetime] | datetime:
    """Return `now` moved by `offset`, as a value where `now` is one, else as SQL."""
    return now + offset if now is not None else DatabaseTime(offset.total_seconds())


@compiles(DatabaseTime, "postgresql")
def _postgresql(element: DatabaseTime, compiler: SQLCompiler, **options: Any) -> str:
    # now() is the transaction's begin; a lease must count from the statement. (Not
    # clock_timestamp(): that is volatile, and no index is used beside it.)
    moved = compiler.process(element.clauses, **options)
    return f"(statement_timestamp() + make_interval(secs => {moved}))"


@compiles(DatabaseTime, "sqlite")
def _sqlite(element: DatabaseTime, compiler: SQLCompiler, **options: Any) -> str:
    moved = compiler.process(element.clauses, **options)
    return f"strftime('{_SQLITE_FORMAT}', 'now', printf('%+.3f seconds', {moved}))"


@compiles(Later, "postgresql")
def _later_postgresql(element: Later, compiler: SQLCompiler, **options: Any) -> str:
    moment, seconds = (compiler.process(part, **options) for part in element.clauses)
    return f"({moment} + make_interval(secs => {seconds}))"


@compiles(Later, "sqlite")
def _later_sqlite(element: Later, compiler: SQLCompiler, **options: Any) -> str:
    moment, seconds = (compiler.process(part, **options) for part in element.clauses)
    return f"strftime('{_SQLITE_FORMAT}', {moment}, printf('%+.3f seconds', {seconds}))"
