"""The two passes over a list: all of its rows, then all of its readers, alone or with a helper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from mailer.lists.spool import Spool, Stretch, stretches
from mailer.services.imports.helper import Cells, Helper, prepared, received, said
from mailer.services.imports.rows import RowReader
from mailer.store.importing.prepare import Batch, Preparer, Request

WORTH_A_PROCESS = 150_000
"""Octets of a file; a smaller one is imported in less time than a process takes to start."""

_BATCH = 2_000  # rows
_THEIRS = 0.6
"""So much of reading is the helper's: this process also takes the file apart."""

Numbers = Callable[[int], Request]
"""Gives numbers for so many readers."""

Read = tuple[Cells, tuple[Any, ...] | str]
"""A row, and what it says: the fields of a ListRow, or why it cannot be used."""


def read_rows(rows: Iterator[Cells], reader: RowReader, helper: Helper | None) -> Iterator[Read]:
    """Yield all rows with what they say, in the order of the file."""
    if helper is None:
        yield from ((row, said(reader, row)) for row in rows)
        return
    theirs: list[Cells] = []
    ours: list[Read] = []
    while batch := list(islice(rows, _BATCH)):
        answer = helper.answer() if theirs else []
        done = [*zip(theirs, answer, strict=True), *ours]
        cut = 1 + int(_THEIRS * (len(batch) - 1))
        theirs = batch[:cut]
        helper.read(theirs)
        yield from done
        ours = [(row, said(reader, row)) for row in batch[cut:]]
    if theirs:
        yield from zip(theirs, helper.answer(), strict=True)
        yield from ours


def prepared_readers(
    spool: Spool, preparer: Preparer, numbers: Numbers, helper: Helper | None, *, done: int
) -> Iterator[Batch]:
    """Yield the readers of a list some thousand at a time, without the first `done` rows."""
    todo = stretches(spool, done)
    if helper is None:
        for stretch in todo:
            blocks, request = spool.raw(stretch.buckets), numbers(stretch.rows)
            yield prepared(preparer, blocks, stretch.done, request)
        return
    asked = _ask(helper, spool, numbers, next(todo, None))
    while asked:
        answer = helper.answer()
        asked = _ask(helper, spool, numbers, next(todo, None))
        yield received(answer)


def one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the same; the next one is fetched while this one is written, and waits for the disk."""
    with ThreadPoolExecutor(1, "next-batch") as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def _ask(helper: Helper, spool: Spool, numbers: Numbers, stretch: Stretch | None) -> bool:
    if stretch is None:
        return False
    helper.prepare(spool.raw(stretch.buckets), stretch.done, numbers(stretch.rows))
    return True
