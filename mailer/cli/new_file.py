"""Files that a command writes: whole or not at all, and for their owner alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mailer.cli.console import CannotRead


def refuse_existing(path: Path, *, replace: bool) -> None:
    """Raise CannotRead where the file cannot be a new one, before anything is done for it."""
    if path.exists() and not path.is_file():
        raise CannotRead(f"{path} is no file: choose another name, or none for standard output.")
    if path.exists() and not replace:
        raise CannotRead(f"{path} exists already: choose another name, or add --yes.")


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[TextIO]:
    """Write a text file that gets its name when it is whole; what fails leaves nothing behind.

    (A command that is killed leaves a hidden `….part`, which its owner alone may read.)
    """
    refuse_existing(path, replace=replace)
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        refuse_existing(path, replace=replace)
        part.rename(target)
    except OSError as error:
        raise CannotRead(f"Cannot write {path} ({error.strerror}): choose another path.") from None
    finally:
        part.unlink(missing_ok=True)
