"""Many rows as one parameter, to join with: a JSON text that the database takes apart.

A statement over a rowset is built, and planned, once for any number of rows; and writing JSON costs
less than an array for every column.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    FromClause,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.types import TypeEngine

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Rowset:
    """The shape of the rows: a name, and its columns with their types, in order."""

    def __init__(self, name: str, columns: Mapping[str, TypeEngine[Any]]) -> None:
        self._name = name
        self._columns = columns

    def table(self, dialect: str) -> FromClause:
        """Return the rows as something to select from."""
        rows = bindparam(self._name, type_=Text)
        if dialect == "sqlite":
            each = func.json_each(rows).table_valued("value")
            fields: list[Any] = [
                type_coerce(func.json_extract(each.c.value, f"$[{place}]"), kind).label(name)
                for place, (name, kind) in enumerate(self._columns.items())
            ]
        else:
            each = func.json_array_elements(cast(rows, JSON)).table_valued(
                column("value", JSON), name=f"{self._name}_each"
            )
            fields = [
                cast(each.c.value.op("->>")(literal_column(str(place))), kind).label(name)
                for place, (name, kind) in enumerate(self._columns.items())
            ]
        return select(*fields).subquery(self._name)

    def parameters(self, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Return the parameter of the statement for these rows, each in the columns' order."""
        return {self._name: _encode(rows)}
