"""Whether the log still is what was signed: in the database, and where it cannot reach.

A log that was begun anew (`mailer consent checkpoint --begin-anew`) has another name from then on.
What was signed under the name before cannot all hold any more: a note, and no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mailer.domain.checkpoints import BadCheckpoint, read_checkpoint, verify_checkpoint
from mailer.services.audit.findings import Finding, Kind
from mailer.services.consent.checkpoints import Notary
from mailer.store.auditing_log import CheckpointRow

_STORED, _FOLDER = "consent_checkpoint", "witness"
_COPY = "latest"  # the folder's copy of the newest
_MORE_THAN_ANY = 100_000  # octets


class Signed(NamedTuple):
    """A checkpoint that is ours, and where it was found."""

    era: int
    size: int
    origin: str
    root: bytes
    table: str
    row: str


class Checkpoints:
    """All checkpoints there are; those that prove something are `signed`."""

    def __init__(self, notary: Notary) -> None:
        self._notary = notary
        self._files = dict(_read_all(notary.folder.path))
        self.signed: list[Signed] = []

    @property
    def in_folder(self) -> int:
        """How many lie where the database cannot reach."""
        return len(self._files)

    def findings(self, rows: Sequence[CheckpointRow]) -> Iterator[Finding]:
        """Take all of them; yield those that prove nothing."""
        for row in rows:
            taken = self._take(row.note, _STORED, str(row.id))
            if isinstance(taken, Finding):
                yield taken
            elif (taken.origin, taken.size) != (row.origin, row.size):
                yield Finding(
                    Kind.CHECKPOINT, _STORED, str(row.id),
                    f"It is kept as {row.origin} of size {row.size}, and signed as {taken.origin} "
                    f"of size {taken.size}.",
                )  # fmt: skip
        for name, note in self._files.items():
            taken = self._take(note, _FOLDER, name)
            if isinstance(taken, Finding):
                yield taken

    def compare(self, roots: Mapping[int, bytes], length: int) -> Iterator[Finding]:
        """Yield those that the log is no more, and from where on it was changed."""
        newest = max((each.era for each in self.signed), default=1)
        holds, lost = 0, 0
        for each in sorted(self.signed, key=lambda each: each.size):
            if roots.get(each.size) == each.root:
                holds = each.size
            elif each.era < newest:
                lost += 1
            else:
                yield Finding(
                    Kind.CHECKPOINT, each.table, each.row, _contradiction(each.size, holds, length)
                )
        if lost:
            first = next(each for each in self.signed if each.era == newest)
            yield Finding(
                Kind.BEGUN_ANEW, first.table, first.row,
                f"The log was begun anew: {lost} checkpoints of the one before hold no more.",
            )  # fmt: skip

    def lost(self, rows: Iterable[CheckpointRow]) -> Iterator[Finding]:
        """Yield those that the folder has and the database has not."""
        newest = max((each.era for each in self.signed), default=1)
        stored = {(row.origin, row.size) for row in rows}
        outside = (each for each in self.signed if each.table == _FOLDER and each.row != _COPY)
        for each in outside:
            if each.era == newest and (each.origin, each.size) not in stored:
                yield Finding(
                    Kind.CHECKPOINT, _FOLDER, each.row,
                    f"The database does not have this checkpoint of size {each.size}: its row was "
                    "taken away, or an older backup was restored. (Where a process died while it "
                    "signed, `mailer consent checkpoint` puts it in.)",
                )  # fmt: skip

    def _take(self, note: str | None, table: str, row: str) -> Signed | Finding:
        """Keep what the note proves; return that, or why it proves nothing."""
        try:
            if note is None:
                return Finding(Kind.CHECKPOINT, table, row, "The file cannot be read.")
            origin = read_checkpoint(note).origin
            era = self._notary.era(origin)
            if era is None:
                return Finding(
                    Kind.CHECKPOINT, table, row,
                    f"It is of another installation: its origin is {origin}, and ours is "
                    f"{self._notary.origin()}.",
                )  # fmt: skip
            said, _ = verify_checkpoint(note, self._notary.public_keys(origin))
        except BadCheckpoint as bad:
            return Finding(Kind.CHECKPOINT, table, row, str(bad))
        signed = Signed(era, said.size, origin, said.root, table, row)
        self.signed.append(signed)
        return signed


def _contradiction(size: int, holds: int, length: int) -> str:
    if size > length:
        return (
            f"The log had {size} places when it was signed, and has {length}: rows were taken "
            "away, or an older backup was restored."
        )
    return (
        f"The first {size} places of the log are not those that were signed: something from place "
        f"{holds} on was changed."
    )


def _read_all(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Yield every file of the folder by its name; None where it cannot be read."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.name.startswith(".") or path.is_dir():
            continue  # a name with a dot: it is not whole yet
        name = str(path.relative_to(folder))
        try:
            with path.open("rb") as file:
                yield name, file.read(_MORE_THAN_ANY).decode("utf-8", "replace")
        except OSError:
            yield name, None
