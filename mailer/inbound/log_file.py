"""Lines of a log file, however large or odd it is: streamed, so that memory stays flat."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from mailer.domain.errors import Refusal

_LONGEST_LINE = 8_192
_GZIP = b"\x1f\x8b"
_TELL_EVERY = 50_000  # lines

Advance = Callable[[int, int | None], None]
"""Told (bytes read, bytes in all or None) from time to time."""


class CannotReadLog(Refusal):
    """A log cannot be read to its end."""


@contextmanager
def open_log(path: Path, advance: Advance) -> Iterator[Iterator[bytes]]:
    """Open a log (`-`: standard input; gzip is recognised) and yield its lines.

    Raises CannotReadLog with one sentence, at the beginning or in the middle.
    """
    try:
        if str(path) == "-":
            yield _lines(cast(BinaryIO, sys.stdin.buffer), None, advance)
            return
        with path.open("rb") as file:
            yield _lines(file, path.stat().st_size or None, advance)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise CannotReadLog(f"{path} is damaged or cut off: give the whole file.") from None
    except OSError as error:
        raise CannotReadLog(f"Cannot read {path} ({error.strerror}): check the path.") from None


def _lines(file: BinaryIO, size: int | None, advance: Advance) -> Iterator[bytes]:
    """Yield lines without their ends; of one that is too long only its beginning."""
    peeked = getattr(file, "peek", lambda _: b"")(len(_GZIP))
    zipped = peeked.startswith(_GZIP)
    source = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if zipped else file
    read, begins = 0, True
    for number, piece in enumerate(iter(lambda: source.readline(_LONGEST_LINE), b"")):
        if begins:
            yield piece.rstrip(b"\r\n")
        begins = piece.endswith(b"\n")
        read += len(piece)
        if number % _TELL_EVERY == 0:
            advance(read, None if zipped else size)
