"""How answers are shown: tables for people, one JSON document for scripts.

The answer goes to stdout; what is said besides it (progress, advice) goes to stderr.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mailer.domain.errors import Refusal

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

_MAX_TEXT_BYTES = 5_000_000


class CannotRead(Refusal):
    """A file that was named cannot be used."""


class NotConfirmed(Refusal):
    """A dangerous verb was asked for without a yes."""


def example(*lines: str) -> str:
    """Return the part of a verb's help that shows how it is used."""
    shown = "\n".join(f"  {line}" for line in lines)
    return f"\b\nExample:\n{shown}"


def say(sentence: str) -> None:
    """Tell people something that is not the answer itself."""
    typer.echo(sentence, err=True)


def answer(as_json: bool, document: object, sentence: str) -> None:
    """Print the JSON document, or say what was done."""
    if as_json:
        print_json(document)
    else:
        typer.echo(sentence)


def print_json(document: object) -> None:
    """Print one JSON document; times are ISO 8601 in UTC."""
    typer.echo(as_json_text(document))


def as_json_text(document: object, *, indent: int | None = 2) -> str:
    """Return a document as JSON; times are ISO 8601 in UTC."""
    return json.dumps(document, ensure_ascii=False, indent=indent, default=_plain)


def answer_rows(
    as_json: bool, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str
) -> None:
    """Print all rows as a JSON list, or the named columns as a table, or say that it is empty."""
    if as_json:
        print_json(list(rows))
    elif not rows:
        say(empty)
    else:
        _print_table(rows, columns)


def answer_fields(as_json: bool, document: Mapping[str, Any]) -> None:
    """Print one thing: as JSON, or one line a field."""
    if as_json:
        print_json(document)
        return
    width = max(len(name) for name in document)
    for name, value in document.items():
        typer.echo(f"{name.replace('_', ' '):<{width}}  {shown(value)}")


def shown(value: object) -> str:
    """Return a value as people read it, on one line; control characters do not survive."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        case Mapping():
            parts = ((shown(key), part) for key, part in value.items() if part != 0)
            return ", ".join(f"{key} {shown(part)}" for key, part in parts)
        case list() | tuple():
            return "; ".join(shown(part) for part in value)
        case _:
            text = " ".join(str(value).split())
            return "".join(character for character in text if character.isprintable())


def verbatim(text: str) -> str:
    """Return a text as it is, line by line, without what a terminal would take for commands."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def ask(question: str, *, yes: bool) -> None:
    """Go on only with a yes; without a terminal the yes must have been given by `--yes`."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed(f"{question} Nothing was done: add --yes to go on.")
    if not typer.confirm(f"{question} Go on?", err=True):
        raise NotConfirmed("Nothing was done.")


def read_text(path: Path) -> str:
    """Return a text file that the user named (`-`: standard input); refuses what is not text."""
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(_MAX_TEXT_BYTES + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(_MAX_TEXT_BYTES + 1)
        if len(raw) > _MAX_TEXT_BYTES:
            raise CannotRead(f"{path} is larger than 5 MB: give a smaller file.")
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CannotRead(f"{path} is not UTF-8 text: save it as UTF-8.") from None
    except OSError as error:
        raise CannotRead(f"Cannot read {path} ({error.strerror}): check the path.") from None


def write_new(path: Path, text: str) -> None:
    """Write a file for its owner's eyes; refuses to write over one that is there."""
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            path.chmod(0o600)
            file.write(text)
    except FileExistsError:
        raise CannotRead(f"{path} exists already: choose another name.") from None
    except OSError as error:
        raise CannotRead(f"Cannot write {path} ({error.strerror}): choose another path.") from None


def reader_left() -> bool:
    """Say whether our answer goes into a pipe that nobody reads any more."""
    try:
        pipe = sys.stdout.fileno()
    except (OSError, ValueError):  # no file at all, as in a test
        return False
    poll = select.poll()
    poll.register(pipe, 0)  # an error is told without being asked for
    return any(told & select.POLLERR for _, told in poll.poll(0))


def answer_nobody() -> None:
    """Let what is still to be written to stdout vanish, or Python complains at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def progress(words: str) -> Iterator[Any]:
    """Show a progress bar on a terminal; elsewhere it stays silent."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(words, total=None)

        def advance(done: int, total: int | None, doing: str = words) -> None:
            bar.update(task, completed=done, total=total, description=doing)

        yield advance


def _print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=240)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(row[column])) for column in columns))
    with console.capture() as captured:
        console.print(table)
    typer.echo(captured.get(), nl=False)  # what becomes of a closed pipe is decided in one place


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
