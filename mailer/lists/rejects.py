"""The reject file: rows that could not be used, each with the reason, to be mended and imported."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from mailer.domain.csv_cells import neutral
from mailer.domain.errors import Refusal

_OURS = "line,reason"


class CannotWriteRejects(Refusal):
    """The reject file cannot stand where it should."""


class RejectFile:
    """Written beside its place, and put there whole; without a row it never comes to be."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = columns
        self._part = path.with_name(path.name + ".part")
        self._text: TextIO | None = None
        self._writer: Any = None
        _refuse_foreign(path)

    def add(self, line: int, reason: str, cells: Sequence[str]) -> None:
        """Write one row down."""
        if self._writer is None:
            self._open()
        self._writer.writerow((str(line), reason, *(neutral(cell) for cell in cells)))

    def finish(self) -> Path | None:
        """Put the file in its place; return where, or None where every row was good."""
        if self._text is None:
            return None
        self._text.flush()
        os.fsync(self._text.fileno())
        self._text.close()
        self._text = None
        self._part.replace(self.path)
        return self.path

    def discard(self) -> None:
        """Take away what is unfinished."""
        if self._text is not None:
            self._text.close()
            self._part.unlink(missing_ok=True)

    def _open(self) -> None:
        try:
            self._part.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            self._text = os.fdopen(
                os.open(self._part, flags, 0o600), "w", encoding="utf-8", newline=""
            )
        except OSError as error:
            raise CannotWriteRejects(
                f"Cannot write {self.path} ({error.strerror}): name another file with --rejects."
            ) from None
        self._writer = csv.writer(self._text)
        self._writer.writerow(("line", "reason", *(neutral(name) for name in self._columns)))


def _refuse_foreign(path: Path) -> None:
    """Only a reject file of an earlier run is written over."""
    try:
        with path.open("rb") as file:
            ours = file.read(len(_OURS)) == _OURS.encode()
    except FileNotFoundError:
        return
    except OSError as error:
        raise CannotWriteRejects(
            f"Cannot write {path} ({error.strerror}): name another file with --rejects."
        ) from None
    if not ours:
        raise CannotWriteRejects(
            f"{path} exists already and is no reject file: name another one with --rejects."
        )
