"""Writing many rows out, one after the other: as CSV into a file or to stdout, or as JSON."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from mailer.cli.console import answer, as_json_text, progress
from mailer.cli.new_file import new_file
from mailer.domain.csv_cells import neutral

_AT_ONCE = 1_000

Row = Mapping[str, Any]


def write_out(
    rows: Iterable[Row],
    columns: Sequence[str],
    *,
    total: int,
    what: str,
    out: Path | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Write all rows; into a file as CSV, else to stdout as CSV or as one JSON list."""
    with progress(f"writing {what}") as advance:
        silent = out is None and sys.stdout.isatty()  # a bar in the midst of what is read
        told = _Told(rows, total, (lambda *_: None) if silent else advance)
        if out is None:
            for text in _json(told) if as_json else _csv(told, columns):
                typer.echo(text, nl=False)
            return
        with new_file(out, replace=replace) as file:
            for text in _csv(told, columns):
                file.write(text)
    sentence = f"Wrote {told.number} {what} to {out}."
    answer(as_json, {"file": str(out), what: told.number}, sentence)


class _Told:
    """Rows that are counted, and move the bar, as they pass."""

    def __init__(
        self, rows: Iterable[Row], total: int, advance: Callable[[int, int | None], None]
    ) -> None:
        self._rows = rows
        self._total = total
        self._advance = advance
        self.number = 0

    def pages(self) -> Iterator[list[Row]]:
        """Yield the rows in pages."""
        left = iter(self._rows)
        while page := list(islice(left, _AT_ONCE)):
            yield page
            self.number += len(page)
            self._advance(self.number, max(self._total, self.number))


def _csv(rows: _Told, columns: Sequence[str]) -> Iterator[str]:
    """Yield CSV (RFC 4180) whose cells a spreadsheet does not take for formulas."""
    yield _lines([columns])
    for page in rows.pages():
        yield _lines([[neutral(_cell(row[column])) for column in columns] for row in page])


def _lines(cells: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(cells)
    return text.getvalue()


def _json(rows: _Told) -> Iterator[str]:
    """Yield one JSON list."""
    before = "["
    for page in rows.pages():
        for row in page:
            yield f"{before}\n  {as_json_text(row, indent=None)}"
            before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Mapping():
            return " ".join(f"{name}={part}" for name, part in value.items())
        case _:
            return str(value)
