"""A list as rows and cells: CSV (RFC 4180) with commas, semicolons or tabs.

A quote that is not closed swallows the rows after it, and nobody would miss them. So the form is
strict, and whatever breaks it is named with its line; the caller reads all before it uses any.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from typing import Any, BinaryIO

from mailer.lists.encoding import BrokenList, ListFile

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
ADDRESS_LIKE = re.compile(r"\s*[^@\s,;\"<>]+@[^@\s,;\"<>]+\.[^@\s,;\"<>]+\s*")

_LONGEST_LINE = 1 << 20  # characters
_LONGEST_CELL = 100_000
_SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Table:
    """A file whose form is known: its delimiter, its columns and its first rows."""

    file: ListFile
    delimiter: str
    columns: tuple[str, ...]
    has_header: bool
    sample: tuple[tuple[str, ...], ...]

    def rows(
        self, address: int, read: Callable[[int], object] = lambda _: None
    ) -> Iterator[tuple[int, list[str]]]:
        """Yield line number and cells of every row that is not blank; raises BrokenList.

        `address` is the column of addresses: rows in the middle of a quoted cell are known by it.
        `read` is told now and then how many bytes were read.
        """
        begun, width = 0, len(self.columns)
        skipped = not self.has_header
        with self.file.path.open("rb") as raw, _text(self.file, raw) as text:
            reader = _reader(text, self.delimiter, self.file)
            try:
                for cells in reader:
                    line, begun = begun + 1, reader.line_num
                    if begun != line:
                        self._refuse_swallowed(cells, line, address, width)
                    if not skipped:
                        skipped = not _is_hint(cells)
                    elif any(cells):
                        yield line, cells
                    if not begun & 0xFFF:
                        read(raw.tell())
            except csv.Error as error:
                raise _broken(self.file, begun + 1, str(error)) from None
            except UnicodeDecodeError as error:
                raise _undecodable(self.file, begun + 1, error) from None

    def _refuse_swallowed(self, cells: Sequence[str], line: int, address: int, width: int) -> None:
        """Refuse a cell that holds what is a row of the list: its quote was never meant."""
        for cell in cells:
            for inner in cell.splitlines()[1:]:
                parts = inner.split(self.delimiter)
                if len(parts) == width and ADDRESS_LIKE.fullmatch(parts[address].strip('"')):
                    raise BrokenList(
                        f"{self.file.path}, line {line}: a quote that is opened here swallows the "
                        f"rows after it (“{inner[:60]}”): close it, or double it. Nothing was "
                        "imported."
                    )


def open_table(file: ListFile) -> Table:
    """Find the delimiter, the header and the first rows; raises BrokenList."""
    line = 1
    try:
        with file.path.open("rb") as raw, _text(file, raw) as text:
            lines = _lines(text, file)
            first = next((each for each in lines if each.strip(" ,;\t\r\n")), "")
        hinted = re.fullmatch(r"sep=(.)\s*", first)
        delimiter = hinted[1] if hinted else max(DELIMITERS, key=_bare(first).count)
        rows = []
        with file.path.open("rb") as raw, _text(file, raw) as text:
            reader = _reader(text, delimiter, file)
            for cells in islice(reader, _SAMPLE):
                line = reader.line_num + 1
                if any(cells) and not _is_hint(cells):
                    rows.append(tuple(cells))
    except csv.Error as error:
        raise _broken(file, line, str(error)) from None
    except UnicodeDecodeError as error:
        raise _undecodable(file, line, error) from None
    if not rows:
        raise BrokenList(f"{file.path} holds no rows.")
    has_header = not any(ADDRESS_LIKE.fullmatch(cell) for cell in rows[0])
    if has_header and len(rows) == 1:
        raise BrokenList(f"{file.path} holds a header and no readers.")
    if has_header:
        columns = tuple(cell.strip() for cell in rows[0])
    else:
        columns = tuple(str(number + 1) for number in range(len(rows[0])))
    return Table(file, delimiter, columns, has_header, tuple(rows[1 if has_header else 0 :]))


def _text(file: ListFile, raw: BinaryIO) -> TextIOWrapper:
    return TextIOWrapper(raw, file.encoding, newline="")


def _reader(text: TextIOWrapper, delimiter: str, file: ListFile) -> Any:
    csv.field_size_limit(_LONGEST_CELL)
    return csv.reader(
        _lines(text, file), delimiter=delimiter, strict=True, skipinitialspace=delimiter != "\t"
    )


def _lines(text: TextIOWrapper, file: ListFile) -> Iterator[str]:
    number = 0
    while line := text.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise BrokenList(
                f"{file.path}, line {number} is longer than a million characters: this is no list "
                "of readers, or its line ends are lost."
            )
        yield line


def _bare(line: str) -> str:
    """Return the line without what is quoted."""
    return re.sub(r'"[^"]*"', "", line)


def _is_hint(cells: Sequence[str]) -> bool:
    """Say whether this is the line that tells a spreadsheet the delimiter."""
    return bool(cells) and cells[0].startswith("sep=") and not any(cells[1:])


def _broken(file: ListFile, line: int, reason: str) -> BrokenList:
    if "end of data" in reason:
        words = "a quote is opened here and never closed"
    elif "field limit" in reason:
        words = f"a cell that begins here has more than {_LONGEST_CELL:,} characters"
    elif "expected after" in reason:
        words = "a quoted cell of the row that begins here goes on behind its closing quote"
    else:
        words = reason
    return BrokenList(
        f"{file.path}, line {line}: {words}: mend that row, and import the file again. Nothing was "
        "imported."
    )


def _undecodable(file: ListFile, line: int, error: UnicodeDecodeError) -> BrokenList:
    return BrokenList(
        f"{file.path}, after line {line}: the bytes {error.object[error.start : error.end][:4]!r} "
        f"are no {file.encoding}: name another --encoding. Nothing was imported."
    )
