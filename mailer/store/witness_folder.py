"""The witness folder: what is known outside of the database, and so outlives its restoration.

`position.json`      whose folder this is, and how far the database had come when it was last here
`erasures.jsonl`     and the other journals (`mailer.store.journal`), one JSON object a line

Files are of their owner alone, and on disk before anybody relies on them. A journal is only ever
appended to; a line may stand there twice, and the last one may be torn.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mailer.domain.errors import Refusal

_POSITION = "position.json"
_MORE_THAN_ANY = 2**53


class BrokenWitness(Refusal):
    """The folder says what cannot be understood."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the database had come when it was last here."""

    installation: str
    beat: int
    ids: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """A line of a journal; None where it cannot be read."""

    beat: int
    line: Mapping[str, Any] | None


class WitnessFolder:
    """Reads and writes the folder; looking at it makes nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def alone(self, *, wait: bool = False) -> Iterator[bool]:
        """Yield True where no other process is at the folder, and none will be meanwhile."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)

    def position(self) -> Position | None:
        """Return what was noted last; None in an empty folder. Raises BrokenWitness, OSError."""
        try:
            document = json.loads((self.path / _POSITION).read_bytes())
            ids = {str(name): whole_number(value) for name, value in document["ids"].items()}
            return Position(str(document["installation"]), whole_number(document["beat"]), ids)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise BrokenWitness(f"{self.path / _POSITION} cannot be understood.") from None

    def note(self, position: Position) -> None:
        """Write the position: whole, or not at all."""
        part = self.path / f".{_POSITION}"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(asdict(position)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.rename(self.path / _POSITION)
        self._sync()

    def note_before_all(self, installation: str) -> None:
        """Let an empty folder know of this installation, so that an old database is told as one."""
        with self.alone(wait=True):
            if self.position() is None:
                self.note(Position(installation, 1))

    def append(self, journal: str, lines: Sequence[Mapping[str, Any]], *, beat: int) -> None:
        """Append the lines; they are on disk when this returns."""
        path = self._journal(journal)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            written = b"".join(_encoded({"beat": beat, **line}) for line in lines)
            if file.seek(0, os.SEEK_END) and not self._ends_whole(file.fileno()):
                written = b"\n" + written  # what was torn stays a line of its own
            while written:
                written = written[file.write(written) or 0 :]
            os.fsync(file.fileno())
        self._sync()

    def lines(self, journal: str) -> Iterator[Told]:
        """Yield the lines as they were written; a torn one is yielded as one that says nothing."""
        try:
            with self._journal(journal).open("rb") as file:
                for raw in file:
                    yield _told(raw)
        except FileNotFoundError:
            return

    def _journal(self, journal: str) -> Path:
        return self.path / f"{journal}.jsonl"

    def _ends_whole(self, descriptor: int) -> bool:
        return os.pread(descriptor, 1, os.fstat(descriptor).st_size - 1) == b"\n"

    def _sync(self) -> None:
        """Let the names in the folder be on disk as well."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def whole_number(value: object) -> int:
    """Return a number that any database can hold; raises ValueError for what is none."""
    if type(value) is not int or not 0 <= value < _MORE_THAN_ANY:
        raise ValueError("no whole number")
    return value


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def _told(raw: bytes) -> Told:
    try:
        line = json.loads(raw)
        return Told(whole_number(line["beat"]), line)
    except (ValueError, KeyError, TypeError, RecursionError):
        return Told(0, None)
