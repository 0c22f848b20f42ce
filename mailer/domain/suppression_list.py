"""Lists of addresses that must not be mailed, as files: ours, other systems', one address a line.

A line that cannot be used is named with its number and the reason, and costs no other line: also
one with a quote that is never closed.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mailer.domain.addresses import BadAddress, address_hash, parse_address
from mailer.domain.csv_cells import restored
from mailer.domain.suppression import SuppressionReason

COLUMNS = ("address_hash", "email", "scope", "reason", "detail", "since", "key")
"""The columns of our own export. `key` says under which key the hashes were made."""

_EMAIL_COLUMNS = ("email", "e-mail", "email address", "email_address", "address")
_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST_LINE = 10_000
_LONGEST_RECORD = 50
"""Lines of one record at most: a quote that is not closed by then is a broken one."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One address of the list, by its keyed hash; what the file does not say is empty."""

    line: int
    text: str
    hashed: str
    scope: str = ""
    reason: SuppressionReason = SuppressionReason.OPERATOR
    detail: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """One line that cannot be used."""

    line: int
    text: str
    why: str


def key_name(key: bytes) -> str:
    """Return what tells one MAILER_SUPPRESSION_KEY from another, and tells nothing else."""
    return hashlib.sha256(b"fingerprint" + key).hexdigest()[:16]


def read_suppressions(raw: Iterable[bytes], key: bytes) -> Iterator[Listed | Rejected]:
    """Yield what every line comes to; a first line that names a column of addresses is a header."""
    lines = _Lines(_decoded(raw))
    first = next(lines, None)
    header = _header(first.text) if isinstance(first, _Line) else None
    if header is not None:
        yield from _table(lines, *header, key)
        return
    lines.give_back([first] if first else [])
    for each in lines:
        if isinstance(each, Rejected):
            yield each
        elif each.text.strip():
            yield _address(each, key)


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str


class _Lines(Iterator[_Line | Rejected]):
    """Lines, of which some may be given back."""

    def __init__(self, source: Iterator[_Line | Rejected]) -> None:
        self._source = source
        self._back: deque[_Line | Rejected] = deque()

    def __next__(self) -> _Line | Rejected:
        return self._back.popleft() if self._back else next(self._source)

    def give_back(self, lines: Sequence[_Line | Rejected]) -> None:
        """Let these come once more."""
        self._back.extendleft(reversed(lines))


def _decoded(raw: Iterable[bytes]) -> Iterator[_Line | Rejected]:
    for number, line in enumerate(raw, 1):
        if len(line) > _LONGEST_LINE:
            yield Rejected(number, line[:80].decode("utf-8", "replace"), "it is too long")
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            text = line.decode("utf-8", "replace").strip()
            yield Rejected(number, text, "it is not UTF-8 text")
            continue
        yield _Line(number, text)


def _header(line: str) -> tuple[str, list[str]] | None:
    """Return delimiter and columns of a line that names the column of addresses."""
    if "@" in line:
        return None
    for delimiter in (",", ";", "\t"):
        columns = [cell.strip().lower() for cell in next(csv.reader([line], delimiter=delimiter))]
        if any(column in (*_EMAIL_COLUMNS, "address_hash") for column in columns):
            return delimiter, columns
    return None


def _address(line: _Line, key: bytes) -> Listed | Rejected:
    text = line.text.strip()
    try:
        return Listed(line.number, text, address_hash(parse_address(text), key))
    except BadAddress as refusal:
        return Rejected(line.number, text, str(refusal))


def _table(
    lines: _Lines, delimiter: str, columns: Sequence[str], key: bytes
) -> Iterator[Listed | Rejected]:
    for line in lines:
        if isinstance(line, Rejected):
            yield line
            continue
        if not line.text.strip():
            continue
        cells = _cells([line.text], delimiter) or _longer_record(
            line.text, lines, delimiter, len(columns)
        )
        if cells is None:
            yield Rejected(line.number, line.text.strip(), "its quotes are broken")
        else:
            row = dict(zip(columns, cells, strict=False))
            yield _row(line.number, line.text.strip(), row, key)


def _longer_record(text: str, lines: _Lines, delimiter: str, width: int) -> list[str] | None:
    """Return the cells of a record that goes on over the next lines.

    None where there is no such record: then none of those lines is lost.
    """
    record, taken = [text], list[_Line | Rejected]()
    while sum(each.count('"') for each in record) % 2 and len(record) < _LONGEST_RECORD:
        following = next(lines, None)
        if following is None:
            break
        taken.append(following)
        if isinstance(following, Rejected):
            break
        record.append(following.text)
    cells = _cells(record, delimiter) if len(record) > 1 else None
    if cells is not None and len(cells) == width:
        return cells
    lines.give_back(taken)
    return None


def _cells(lines: Sequence[str], delimiter: str) -> list[str] | None:
    """Return the one record in these lines; None where they are not just that."""
    try:
        records = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return [restored(cell) for cell in records[0]] if len(records) == 1 else None


def _row(number: int, text: str, row: dict[str, str], key: bytes) -> Listed | Rejected:
    email = next((row[name] for name in _EMAIL_COLUMNS if row.get(name, "").strip()), "")
    hashed = row.get("address_hash", "").strip()
    if email:
        try:
            hashed = address_hash(parse_address(email), key)
        except BadAddress as refusal:
            return Rejected(number, text, str(refusal))
    elif not _HASH.fullmatch(hashed):
        return Rejected(number, text, "it names no address, and no hash of one")
    elif row.get("key", "").strip() != key_name(key):
        return Rejected(number, text, "its hash was made with another MAILER_SUPPRESSION_KEY")
    reason, detail = _reason(row.get("reason", "").strip(), row.get("detail", ""))
    scope, since = row.get("scope", "").strip(), _since(row.get("since", ""))
    return Listed(number, text, hashed, scope, reason, detail, since)


def _reason(said: str, detail: str) -> tuple[SuppressionReason, str]:
    """Return the reason; another system's words for it are kept as the detail."""
    if said in set(SuppressionReason):
        return SuppressionReason(said), detail
    return SuppressionReason.OPERATOR, detail or said


def _since(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
