"""A process that reads rows and prepares readers beside this one, where a list is long.

It hears nothing but its pipe, and ends when this process does, however that ends. One answer is
taken before the next is asked for, so that the pipe never fills up from both ends.
"""

from __future__ import annotations

import gc
import marshal
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from multiprocessing.connection import Connection
from typing import Any

from mailer.domain.errors import Refusal
from mailer.domain.importing import ListRow, Reader, readers_of
from mailer.embedded.leash import die_with_parent
from mailer.lists.spool import PLAIN, unpacked
from mailer.services.imports.rows import BadRow, Reading, RowReader
from mailer.store.importing.prepare import Batch, Preparer, Request, Terms
from mailer.store.vault import Vault

Cells = tuple[int, list[str]]
"""A row of the file: its line, and its cells."""


class HelperEnded(Refusal):
    """The helper process was ended from outside."""


class _Task(IntEnum):
    READ = 1
    PREPARE = 2


class Helper:
    """The other process, as this one sees it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, rows: list[Cells]) -> None:
        """Ask for what these rows say; the answer is a list of `said`."""
        self._ask(_Task.READ, rows)

    def prepare(self, blocks: list[bytes], done: int, request: Request) -> None:
        """Ask for the readers of these blocks, prepared, without the first `done` rows."""
        self._ask(_Task.PREPARE, (blocks, done, *map(tuple, ((request.at,), *request[1:]))))

    def answer(self) -> Any:
        """Return what was asked for; raises HelperEnded."""
        try:
            return marshal.loads(self._connection.recv_bytes())
        except EOFError:
            raise self._ended() from None

    def _ask(self, task: _Task, given: Any) -> None:
        try:
            self._connection.send_bytes(marshal.dumps((int(task), given), PLAIN))
        except BrokenPipeError:
            raise self._ended() from None

    @staticmethod
    def _ended() -> HelperEnded:
        return HelperEnded(
            "The process that helps with the import was ended: import the file once more, and it "
            "goes on where it stopped."
        )


@contextmanager
def helping(reading: Reading, terms: Terms, vault: Vault) -> Iterator[Helper]:
    """Run the other process until the end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_help, args=(theirs, reading, terms, vault), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Helper(ours)
    finally:
        ours.close()
        process.terminate()
        process.join()
        process.close()


def said(reader: RowReader, row: Cells) -> tuple[Any, ...] | str:
    """Return what a row says: the fields of a ListRow, or why it cannot be used."""
    try:
        return tuple(reader.read(*row))
    except BadRow as bad:
        return str(bad)


def prepared(preparer: Preparer, blocks: list[bytes], done: int, request: Request) -> Batch:
    """Return the readers of these blocks after the first `done` rows, which end with a reader."""
    return preparer.prepare(_without(readers_of(unpacked(blocks)), done), request)


def _sent(batch: Batch) -> tuple[Any, ...]:
    """Return a batch as it travels: plain tuples, as named ones cannot."""
    rows = [tuple(reader.row) for reader in batch.readers]
    said = [one and tuple(one) for one in batch.said]
    return rows, [reader.doubles for reader in batch.readers], batch.subscribers, said


def received(answer: Any) -> Batch:
    """Return a batch as it was before it travelled, but for what was said: plain tuples stay so."""
    rows, doubles, subscribers, said = answer
    readers = map(Reader, map(ListRow._make, rows), doubles)
    return Batch(list(readers), subscribers, said)


def _without(readers: Iterator[Reader], done: int) -> Iterator[Reader]:
    for reader in readers:
        if done <= 0:
            yield reader
        done -= reader.rows


def _help(connection: Connection, reading: Reading, terms: Terms, vault: Vault) -> None:
    """Do what is asked for until nobody asks any more (in the other process)."""
    die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks decides when it is over
    gc.disable()  # nothing here refers to itself
    reader, preparer = RowReader(reading), Preparer(terms, vault)
    while True:
        try:
            task, given = marshal.loads(connection.recv_bytes())
        except EOFError:
            return
        answer: Any
        if task == _Task.READ:
            answer = [said(reader, row) for row in given]
        else:
            blocks, done, (at,), ids, numbers = given
            answer = _sent(prepared(preparer, blocks, done, Request(at, ids, numbers)))
        connection.send_bytes(marshal.dumps(answer, PLAIN))
