"""Files that end with time: logs, mails in the built-in inbox, refused rows, unfinished parts."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailer.domain.retention import Kind

_PART = re.compile(r"\..+\.\d+\.(?:mailer-)?part")
"""What an export or a backup is called until it is whole: hidden, with its process's number."""

_OURS_ALONE = ".mailer-part"
"""How such a name ends in folders that are not ours."""

_OLD_LOG = re.compile(r".+\.log\.(\d{4}-\d{2}-\d{2})")
_REFUSED_ROWS = b"line,reason"
"""How a file of rows that an import refused begins."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where they are: the home, and the inbox in it."""

    home: Path
    inbox: Path

    @property
    def logs(self) -> Path:
        """Where `mailer up` lets its processes write."""
        return self.home / "logs"


def find_old_files(folders: Folders, kind: Kind, before: datetime) -> Iterator[Path]:
    """Yield the files of the kind that are older."""
    match kind:
        case Kind.LOGS:
            yield from _old_logs(folders.logs, before)
        case Kind.INBOX:
            yield from _old_mails(folders.inbox, before)
        case Kind.REJECTS:
            yield from _old_rejects(folders.home, before)
        case Kind.PARTS:
            yield from _old_parts(folders.home.rglob(".*part"), before.timestamp())
        case _:
            raise AssertionError(f"{kind} are no files")


def delete_old_files(folders: Folders, kind: Kind, before: datetime) -> int:
    """Delete the files of the kind that are older; return how many."""
    gone = 0
    for path in list(find_old_files(folders, kind, before)):
        with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
            path.unlink()
            gone += 1
    return gone


def delete_parts(folder: Path, before: float) -> None:
    """Delete what killed exports left in this folder, if nobody wrote to it since (Unix time)."""
    for path in list(_old_parts(folder.glob(f".*{_OURS_ALONE}"), before)):
        path.unlink(missing_ok=True)


def turn_logs_over(folder: Path, now: datetime) -> None:
    """Put what the logs hold aside under today's date, so that whole files can be deleted later.

    A process that writes to one goes on in the same file, which is empty then: it appends. What it
    writes in the moment between copy and cut is lost; a log is no record.
    """
    for path in sorted(folder.glob("*.log")) if folder.is_dir() else ():
        aside = path.with_name(f"{path.name}.{now:%Y-%m-%d}")
        if not path.stat().st_size or aside.exists():
            continue
        part = aside.with_name(f".{aside.name}.part")
        shutil.copyfile(path, part)
        part.chmod(0o600)
        part.replace(aside)
        os.truncate(path, 0)


def _old_logs(folder: Path, before: datetime) -> Iterator[Path]:
    for path in sorted(folder.glob("*.log.*")) if folder.is_dir() else ():
        found = _OLD_LOG.fullmatch(path.name)
        if found and found.group(1) < f"{before:%Y-%m-%d}":
            yield path


def _old_mails(folder: Path, before: datetime) -> Iterator[Path]:
    """Yield mails by their names, which begin with the time of their arrival."""
    limit = int(before.timestamp() * 1e9)
    for path in sorted(folder.glob("*.eml")) if folder.is_dir() else ():
        nanoseconds = path.name.partition("-")[0]
        if nanoseconds.isdigit() and int(nanoseconds) < limit:
            yield path


def _old_parts(paths: Iterable[Path], before: float) -> Iterator[Path]:
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.lstat()
            ours = _PART.fullmatch(path.name) and stat.S_ISREG(status.st_mode)
            if ours and status.st_mtime < before:
                yield path


def _old_rejects(home: Path, before: datetime) -> Iterator[Path]:
    for path in sorted(home.rglob("*.csv*")) if home.is_dir() else ():
        if path.suffix != ".csv" and not path.name.endswith(".csv.part"):
            continue
        with contextlib.suppress(OSError):
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            if changed < before and _begins_with(path, _REFUSED_ROWS):
                yield path


def _begins_with(path: Path, words: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(words)) == words
