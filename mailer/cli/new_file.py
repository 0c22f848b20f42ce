"""Files that a command writes: whole or not at all, and for their owner alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from mailer.cli.console import CannotRead
from mailer.services.privacy.old_files import delete_parts

_LEFT_BEHIND = 3600.0
"""Seconds: a part that nobody has written to for so long is nobody's work any more."""

_ENDINGS = (signal.SIGTERM, signal.SIGHUP)
"""What ends a command from outside, and lets it put its things away."""


def refuse_existing(path: Path, *, replace: bool) -> None:
    """Raise CannotRead where the file cannot be a new one, before anything is done for it."""
    if path.exists() and not path.is_file():
        raise CannotRead(f"{path} is no file: choose another name, or none for standard output.")
    if path.exists() and not replace:
        raise CannotRead(f"{path} exists already: choose another name, or add --yes.")


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[TextIO]:
    """Write a text file that gets its name when it is whole; what fails leaves nothing behind.

    A command that is killed outright leaves a hidden part, which its owner alone may read; it goes
    with the next file that is written beside it or, in the home, with the daily retention.
    """
    refuse_existing(path, replace=replace)
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.mailer-part")
    try:
        with _put_away_when_ended():
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                delete_parts(part.parent, os.fstat(descriptor).st_mtime - _LEFT_BEHIND)
                yield file
                file.flush()
                os.fsync(file.fileno())
            refuse_existing(path, replace=replace)
            part.rename(target)
    except OSError as error:
        raise CannotRead(f"Cannot write {path} ({error.strerror}): choose another path.") from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _put_away_when_ended() -> Iterator[None]:
    before = {each: signal.signal(each, _end) for each in _ENDINGS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
