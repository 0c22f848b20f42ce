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
from collections.abc import Iterator
from pathlib import Path

from mailer.domain.importing import ListRow

BUCKETS = 256
_BLOCK = 48  # rows
_SHARED = 2  # hexadecimal digits of the hash that a bucket's rows share


class Spool:
    """Takes rows in any order and gives them back bucket by bucket, sorted."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it lives as long as we do)
        self._open: list[list[tuple[object, ...]]] = [[] for _ in range(BUCKETS)]
        self._blocks: list[list[tuple[int, int]]] = [[] for _ in range(BUCKETS)]
        self._counts = [0] * BUCKETS
        self._end = 0
        self.rows = 0

    def add(self, row: ListRow) -> None:
        """Take one row."""
        bucket = int(row.hashed[:_SHARED], 16)
        waiting = self._open[bucket]
        waiting.append(tuple(row))
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

    def raw(self, bucket: int) -> list[bytes]:
        """Return the bucket as `unpacked` takes it, in this process or in another."""
        number = self._file.fileno()
        return [os.pread(number, length, offset) for offset, length in self._blocks[bucket]]

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def _write(self, bucket: int) -> None:
        waiting = self._open[bucket]
        if not waiting:
            return
        block = marshal.dumps(waiting)
        self._file.write(block)
        self._blocks[bucket].append((self._end, len(block)))
        self._counts[bucket] += len(waiting)
        self._end += len(block)
        waiting.clear()


def unpacked(blocks: list[bytes]) -> Iterator[ListRow]:
    """Return the rows of a bucket in the order of their hashes, then of their lines."""
    rows = [row for block in blocks for row in marshal.loads(block)]
    rows.sort()
    return map(ListRow._make, rows)


def buckets_after(spool: Spool, done: int) -> Iterator[tuple[int, int]]:
    """Yield the buckets that have rows after the first `done`, and how many of each are done."""
    for bucket in range(BUCKETS):
        count = spool.count(bucket)
        if count > done:
            yield bucket, max(done, 0)
        done -= count
