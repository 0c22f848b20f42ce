"""Preparing readers ahead, in a process of its own, while this one writes.

The process hears nothing but pipes: it ends when this one does, however it ends.
"""

from __future__ import annotations

import marshal
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from mailer.domain.importing import ListRow, Reader, readers_of
from mailer.embedded.leash import die_with_parent
from mailer.lists.spool import Spool, Stretch, stretches, unpacked
from mailer.store.importing.prepare import Prepared, Preparer, Request, Said

_WORTH_A_PROCESS = 5_000
"""Rows; fewer are prepared in less time than a process takes to start."""

Numbers = Callable[[int], Request]
"""Gives numbers for so many readers."""


def prepared_readers(
    spool: Spool, preparer: Preparer, numbers: Numbers, *, done: int
) -> Iterator[list[Prepared]]:
    """Yield the readers of a list some thousand at a time, without the first `done` rows."""
    todo = stretches(spool, done)
    if spool.rows - done < _WORTH_A_PROCESS:
        for stretch in todo:
            readers = _without(readers_of(unpacked(spool.raw(stretch.buckets))), stretch.done)
            yield list(preparer.prepare(readers, numbers(stretch.rows)))
        return
    with _helper(preparer) as connection:
        # The next stretch is handed over when the last one is here: the pipe never fills up from
        # both ends.
        asked = _ask(connection, spool, numbers, next(todo, None))
        while asked:
            prepared = marshal.loads(connection.recv_bytes())
            asked = _ask(connection, spool, numbers, next(todo, None))
            yield [_unflattened(each) for each in prepared]


def _ask(connection: Connection, spool: Spool, numbers: Numbers, stretch: Stretch | None) -> bool:
    if stretch is None:
        return False
    request = numbers(stretch.rows)
    connection.send((spool.raw(stretch.buckets), stretch.done, tuple(request)))
    return True


@contextmanager
def _helper(preparer: Preparer) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_prepare_for, args=(theirs, preparer.terms, preparer.vault), daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.terminate()
        process.join()
        process.close()


def _prepare_for(connection: Connection, *made_of: object) -> None:
    """Prepare whatever is asked for until nobody asks any more (in the other process)."""
    die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks decides when it is over
    preparer = Preparer(*made_of)  # type: ignore[arg-type]
    while True:
        try:
            blocks, skip, request = connection.recv()
        except EOFError:
            return
        readers = _without(readers_of(unpacked(blocks)), skip)
        prepared = [_flattened(each) for each in preparer.prepare(readers, Request(*request))]
        connection.send_bytes(marshal.dumps(prepared))


def _without(readers: Iterator[Reader], skip: int) -> Iterator[Reader]:
    """Yield the readers after so many rows, which always end with a reader."""
    for reader in readers:
        if skip <= 0:
            yield reader
        skip -= reader.rows


def _flattened(each: Prepared) -> tuple[object, ...]:
    """Return plain tuples, which cost a third of what named ones do on their way."""
    row, doubles = each.reader
    return tuple(row), doubles, each.subscriber, [tuple(said) for said in each.said]


def _unflattened(each: tuple[object, ...]) -> Prepared:
    row, doubles, subscriber, said = each
    reader = Reader(ListRow._make(row), doubles)  # type: ignore[arg-type]
    return Prepared(reader, subscriber, [Said._make(one) for one in said])  # type: ignore[attr-defined]
