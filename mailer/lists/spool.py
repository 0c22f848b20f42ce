"""Rows that were read, sorted into buckets by the hash of their address, outside of memory.

A database that is handed new keys in their order touches one page of its index after another; in
the order of the file it would touch nearly all of them for every thousand rows. Rows of the same
address come together, too.

The file has no name, so that it is gone when this process is, however it ends.
"""

from __future__ import annotations

import marshal
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mailer.domain.importing import ListRow

BUCKETS = 256
PLAIN = 2
"""The version of marshal that does not look for objects that stand twice: twice as fast."""

_BLOCK = 48  # rows
_STRETCH = 3_000  # rows
_SHARED = 2  # hexadecimal digits of the hash that a bucket's rows share


class Spool:
    """Takes rows in any order and gives them back bucket by bucket, sorted."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it lives as long as we do)
        self._open: list[list[tuple[Any, ...]]] = [[] for _ in range(BUCKETS)]
        self._blocks: list[list[tuple[int, int]]] = [[] for _ in range(BUCKETS)]
        self._counts = [0] * BUCKETS
        self._end = 0
        self.rows = 0

    def add(self, row: tuple[Any, ...]) -> None:
        """Take one row: the fields of a ListRow, as a plain tuple."""
        bucket = int(row[0][:_SHARED], 16)
        waiting = self._open[bucket]
        waiting.append(row)
        self.rows += 1
        if len(waiting) == _BLOCK:
            self._write(bucket)

    def finish(self) -> None:
        """Write down what is still in memory; then the buckets can be read."""
        for bucket in range(BUCKETS):
            self._write(bucket)
        self._file.flush()

    def count(self, bucket: int) -> int:
        """Return how many rows a bucket has."""
        return self._counts[bucket]

    def raw(self, buckets: Iterable[int]) -> list[bytes]:
        """Return the buckets as `unpacked` takes them, in this process or in another."""
        number = self._file.fileno()
        return [
            os.pread(number, length, offset)
            for bucket in buckets
            for offset, length in self._blocks[bucket]
        ]

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def _write(self, bucket: int) -> None:
        waiting = self._open[bucket]
        if not waiting:
            return
        block = marshal.dumps(waiting, PLAIN)
        self._file.write(block)
        self._blocks[bucket].append((self._end, len(block)))
        self._counts[bucket] += len(waiting)
        self._end += len(block)
        waiting.clear()


def unpacked(blocks: list[bytes]) -> Iterator[ListRow]:
    """Return the rows of some buckets in the order of their hashes, then of their lines."""
    rows = [row for block in blocks for row in marshal.loads(block)]
    rows.sort()
    return map(ListRow._make, rows)


class Stretch(NamedTuple):
    """Some buckets one after the other: how many rows they have, and how many are done already."""

    buckets: range
    rows: int
    done: int


def stretches(spool: Spool, done: int) -> Iterator[Stretch]:
    """Yield what is left after the first `done` rows, in pieces of some thousand."""
    first, rows = 0, 0
    for bucket in range(BUCKETS):
        rows += spool.count(bucket)
        if rows >= _STRETCH or bucket == BUCKETS - 1:
            if rows > done:
                yield Stretch(range(first, bucket + 1), rows, max(done, 0))
            done -= rows
            first, rows = bucket + 1, 0
