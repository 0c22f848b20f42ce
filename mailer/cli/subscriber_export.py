"""`mailer subscriber export`: a newsletter's readers as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mailer.cli.console import AsJson, example
from mailer.cli.exporting import write_out
from mailer.cli.new_file import refuse_existing
from mailer.cli.noting import note_taking_out
from mailer.cli.opening import open_installation
from mailer.services.newsletters.lookup import find_newsletter
from mailer.services.readers.reader_list import count_readers, list_readers
from mailer.store.engine import reading

app = typer.Typer()

_COLUMNS = ("subscriber_id", "email", "name", "locale", "timezone", "state", "subscriptions")


@app.command(epilog=example("mailer subscriber export weekly --out readers.csv"))
def export(
    newsletter_name: Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")],
    out: Annotated[
        Path | None, typer.Option(help="A file, for its owner alone; else standard output.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace the file, if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write all readers of a newsletter as CSV (or JSON), with where they stand.

    No spreadsheet takes a cell for a formula: an apostrophe stands before what it would compute.
    """
    if out is not None:
        refuse_existing(out, replace=yes)
    parts = open_installation()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name)
        total = count_readers(session, newsletter)
    note_taking_out(parts, "subscriber export", newsletter=newsletter.slug, readers=total)
    with reading(parts.sessions) as session:
        write_out(
            list_readers(session, newsletter),
            _COLUMNS,
            total=total,
            what="readers",
            out=out,
            replace=yes,
            as_json=as_json,
        )
