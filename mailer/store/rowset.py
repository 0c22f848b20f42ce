"""Many rows as one parameter, to join with: arrays on PostgreSQL, a JSON text on SQLite.

A statement over a rowset is built, and planned, once for any number of rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import FromClause, Text, bindparam, func, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine


class Rowset:
    """The shape of the rows: a name, and its columns with their types."""

    def __init__(self, name: str, columns: Mapping[str, TypeEngine[Any]]) -> None:
        self._name = name
        self._columns = columns

    def table(self, dialect: str) -> FromClause:
        """Return the rows as something to select from."""
        if dialect == "sqlite":
            each = func.json_each(bindparam(self._name, type_=Text)).table_valued("value")
            return select(
                *(
                    type_coerce(func.json_extract(each.c.value, f"$[{place}]"), kind).label(column)
                    for place, (column, kind) in enumerate(self._columns.items())
                )
            ).subquery(self._name)
        arrays = (
            bindparam(f"{self._name}_{column}", type_=ARRAY(kind))
            for column, kind in self._columns.items()
        )
        return func.unnest(*arrays).table_valued(*self._columns, name=self._name).render_derived()

    def parameters(self, dialect: str, rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        """Return the parameters of the statement for these rows, each in the columns' order."""
        if dialect == "sqlite":
            return {self._name: json.dumps(rows)}
        columns = zip(*rows, strict=True) if rows else ((),) * len(self._columns)
        return {
            f"{self._name}_{column}": list(values)
            for column, values in zip(self._columns, columns, strict=True)
        }
