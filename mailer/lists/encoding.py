"""In which encoding a file is, and its fingerprint: one reading of all its bytes."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mailer.domain.errors import Refusal

_PIECE = 1 << 20
_NOT_IN_CP1252 = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))


class BrokenList(Refusal):
    """The file is no list that could be read; the message names the line."""


@dataclass(frozen=True, slots=True)
class ListFile:
    """A file that was looked through once."""

    path: Path
    encoding: str
    size: int
    sha256: str
    modified_ns: int

    def refuse_changed(self) -> None:
        """Raise BrokenList where the file is another one by now."""
        try:
            now = self.path.stat()
        except OSError as error:
            raise BrokenList(f"Cannot read {self.path} ({error.strerror}): check it.") from None
        if (now.st_size, now.st_mtime_ns) != (self.size, self.modified_ns):
            raise BrokenList(f"{self.path} was changed while it was read: import it again.")


def look_through(path: Path, encoding: str | None = None) -> ListFile:
    """Return what the file is, in the encoding given or in the one found; raises BrokenList."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise BrokenList(f"{path} is no file: give a CSV file.")
            if found.st_size == 0:
                raise BrokenList(f"{path} is empty.")
            sha256 = hashlib.sha256()
            for piece in _pieces(file):
                sha256.update(piece)
            name = _checked_name(encoding) if encoding else _encoding_of(path, file)
    except OSError as error:
        raise BrokenList(f"Cannot read {path} ({error.strerror}): check the path.") from None
    return ListFile(path, name, found.st_size, sha256.hexdigest(), found.st_mtime_ns)


def _checked_name(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        "a,b\n".encode(name)
    except (LookupError, UnicodeError):
        raise BrokenList(
            f"“{encoding}” is no encoding: give one such as utf-8, utf-16, cp1252 or latin-1."
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def _encoding_of(path: Path, file: BinaryIO) -> str:
    file.seek(0)
    head = file.read(4096)
    marked = _marked(head)
    if marked:
        return marked
    if _decodes(file):
        return "utf-8-sig"
    good, bad, line = _utf8_in(file)
    if good > bad:
        raise BrokenList(
            f"{path}, line {line}: there are bytes that are no UTF-8, though the rest is: "
            "save the file in one encoding, or name it with --encoding."
        )
    file.seek(0)
    strange = any(piece.translate(None, _NOT_IN_CP1252) != piece for piece in _pieces(file))
    return "iso8859-1" if strange else "cp1252"


def _marked(head: bytes) -> str | None:
    """Return the encoding that the first bytes give away."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Latin letters in UTF-16 are every other byte zero.
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd * 4 > len(head) and even * 16 < len(head):
        return "utf-16-le"
    if even * 4 > len(head) and odd * 16 < len(head):
        return "utf-16-be"
    return None


def _decodes(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        for piece in _pieces(file):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _utf8_in(file: BinaryIO) -> tuple[int, int, int]:
    """Return how many characters beyond ASCII are UTF-8, how many not, and where the first is."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    good, bad, line, lines = 0, 0, 0, 1
    file.seek(0)
    for piece in _pieces(file):
        text = decoder.decode(piece)
        wrong = text.count("\ufffd")
        if wrong and not bad:
            line = lines + text[: text.index("\ufffd")].count("\n")
        bad += wrong
        good += sum(1 for character in text if character > "\x7f") - wrong
        lines += text.count("\n")
    return good, bad, line


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
