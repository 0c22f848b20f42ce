"""`mailer suppression import` and `export`: the list as a file."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer
from sqlalchemy.orm import Session

from mailer.cli.console import AsJson, CannotRead, answer, example, progress, say
from mailer.cli.exporting import write_out
from mailer.cli.new_file import new_file, refuse_existing
from mailer.cli.noting import note, note_taking_out
from mailer.cli.opening import open_installation
from mailer.cli.pausing import let_others_write
from mailer.domain.csv_cells import neutral
from mailer.domain.suppression import SCOPE_ALL
from mailer.domain.suppression_list import COLUMNS, Rejected, key_name, read_suppressions
from mailer.services.newsletters.lookup import find_newsletter
from mailer.services.readers.suppressing import import_suppressions
from mailer.store.engine import reading
from mailer.store.suppressions import Added, count_suppressions, list_suppressions

if TYPE_CHECKING:
    from mailer.wiring import Parts

app = typer.Typer()

Yes = Annotated[bool, typer.Option("--yes", help="Replace the file, if it exists.")]

_MOST_NAMED = 20
_LONGEST_READ = 65_536


@app.command(epilog=example("mailer suppression export --out suppressed.csv"))
def export(
    out: Annotated[
        Path | None, typer.Option(help="A file, for its owner alone; else standard output.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Write the list as CSV (or JSON): keyed hashes, and the address where a reader has it.

    The hashes are of use only under the same MAILER_SUPPRESSION_KEY; `mailer suppression import`
    takes the file.
    """
    if out is not None:
        refuse_existing(out, replace=yes)
    parts = open_installation()
    with reading(parts.sessions) as session:
        total = count_suppressions(session)
    note_taking_out(parts, "suppression export", addresses=total)
    with reading(parts.sessions) as session:
        write_out(
            _rows(session, parts.suppression_key),
            COLUMNS,
            total=total,
            what="addresses",
            out=out,
            replace=yes,
            as_json=as_json,
        )


@app.command(
    "import",
    epilog=example(
        "mailer suppression import angry.txt --detail 'by phone'",
        "mailer suppression import suppressed.csv --rejects bad-lines.csv",
    ),
)
def take_in(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="One address a line, or CSV with a column email; - for standard input.",
        ),
    ],
    newsletter: Annotated[
        str | None,
        typer.Option(help="Only for this newsletter, where the file does not say; else for all."),
    ] = None,
    detail: Annotated[str, typer.Option(help="Why, where the file does not say.")] = "",
    rejects: Annotated[
        Path | None, typer.Option(help="A CSV file for the lines that cannot be used.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Never mail these addresses again, and end what is on its way to them.

    Takes what `mailer suppression export` writes, and lists of other systems. Doing it again
    changes nothing. Lines that cannot be used are named with their numbers.
    """
    if rejects is not None:
        refuse_existing(rejects, replace=yes)
    parts = open_installation()
    with reading(parts.sessions) as session:
        scope = find_newsletter(session, newsletter).slug if newsletter else SCOPE_ALL
    with ExitStack() as stack:
        lines = stack.enter_context(_lines(file))
        reject = stack.enter_context(_rejecting(rejects, replace=yes))
        done = import_suppressions(
            parts.sessions,
            read_suppressions(lines, parts.suppression_key),
            scope=scope,
            detail=detail,
            now=parts.now,
            pause=let_others_write,
            note=lambda session, added: _note(parts, session, added),
            reject=reject,
        )
    sentence = f"{done.added} added, {done.known} stood on the list already"
    if done.rejected:
        sentence += f", {done.rejected} lines could not be used"
    answer(as_json, asdict(done), f"{sentence}.")


def _rows(session: Session, key: bytes) -> Iterator[dict[str, Any]]:
    for suppression, email in list_suppressions(session):
        yield {
            "address_hash": suppression.address_hash,
            "email": email,
            "scope": suppression.scope,
            "reason": suppression.reason,
            "detail": suppression.detail,
            "since": suppression.created_at,
            "key": key_name(key),
        }


def _note(parts: Parts, session: Session, added: Added) -> None:
    """Name the readers among the addresses by number, so that each one's history tells it."""
    for reader in added.readers:
        note(parts, session, "suppression import", reader=reader)
    note(parts, session, "suppression import", added=added.added)


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[bytes]]:
    """Open a file of any size for reading line by line, with a bar."""
    size = path.stat().st_size if str(path) != "-" and path.is_file() else None
    opened: AbstractContextManager[BinaryIO] = (
        nullcontext(sys.stdin.buffer) if str(path) == "-" else _open(path)
    )
    with progress(f"reading {path}") as advance, opened as file:

        def each() -> Iterator[bytes]:
            done = 0
            while line := file.readline(_LONGEST_READ):
                done += len(line)
                yield line
                while not line.endswith(b"\n") and (line := file.readline(_LONGEST_READ)):
                    done += len(line)  # the rest of a line that is too long
                advance(done, size)

        yield each()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise CannotRead(f"Cannot read {path} ({error.strerror}): check the path.") from None


@contextmanager
def _rejecting(path: Path | None, *, replace: bool) -> Iterator[Callable[[Rejected], None]]:
    """Write what is rejected into a file, or name the first of it."""
    if path is None:
        number = 0

        def name(rejected: Rejected) -> None:
            nonlocal number
            number += 1
            if number <= _MOST_NAMED:
                say(f"Line {rejected.line}: {rejected.why}")

        yield name
        if number > _MOST_NAMED:
            say(f"… and {number - _MOST_NAMED} more: --rejects FILE writes them all.")
        return
    with new_file(path, replace=replace) as file:
        writer = csv.writer(file)
        writer.writerow(("line", "why", "text"))
        yield lambda rejected: writer.writerow(
            (rejected.line, neutral(rejected.why), neutral(rejected.text))
        )
