"""The checkpoints that were signed, outside of the database: a file each in the witness folder.

    checkpoints/1/000000001234   era and size
    checkpoints/latest           a copy of the newest

A restored backup of the database does not bring an older state of this folder back: so it shows
what the log has been.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mailer.domain.errors import Refusal

_DIGITS = 12  # so that names sort as sizes do
_LARGEST = 16_384


class CannotWitness(Refusal):
    """The witness folder cannot be used."""


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """Where checkpoints are kept beside the database."""

    path: Path

    def newest(self) -> list[tuple[Path, str]]:
        """Return the newest notes there are, with their files: the highest number, and `latest`."""
        try:
            return [(path, _note(path)) for path in self._newest_files()]
        except OSError as error:
            raise CannotWitness(
                f"The checkpoints in {self.path} cannot be read ({error.strerror}): give them to "
                "the user that runs mailer, or mend MAILER_WITNESS_DIR."
            ) from None

    def keep(self, era: int, size: int, note: str) -> Path:
        """Write a note under its number and as `latest`; each is whole or not there."""
        numbered = self.path / str(era) / f"{size:0{_DIGITS}}"
        try:
            for folder in (self.path.parent, self.path, numbered.parent):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in (numbered, self.path / "latest"):
                _write(path, note.encode())
        except OSError as error:
            raise CannotWitness(
                f"The checkpoint cannot be written to {self.path} ({error.strerror}), and so is "
                "not signed: mend MAILER_WITNESS_DIR, or give the folder to the user that runs "
                "mailer."
            ) from None
        return numbered

    def _newest_files(self) -> Iterator[Path]:
        if not self.path.exists():
            return
        era = _highest(self.path)
        numbered = _highest(era) if era else None
        if numbered:
            yield numbered
        if (self.path / "latest").exists():
            yield self.path / "latest"


def _highest(folder: Path) -> Path | None:
    numbers = [each for each in folder.iterdir() if each.name.isascii() and each.name.isdigit()]
    return max(numbers, key=lambda each: int(each.name), default=None)


def _note(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LARGEST).decode("utf-8", "replace")


def _write(path: Path, content: bytes) -> None:
    with suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name, too, must survive a power cut
    finally:
        os.close(folder)
