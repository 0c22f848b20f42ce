"""`mailer consent`: what readers said."""

from __future__ import annotations

from typing import Annotated

import typer

from mailer.cli.console import AsJson, answer_rows, example
from mailer.cli.noting import looked
from mailer.cli.opening import open_installation
from mailer.services.readers import consent_events, require_reader
from mailer.store.engine import reading

app = typer.Typer()


@app.command(epilog=example("mailer consent show amina@example.org --json"))
def show(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The reader's address or id.")],
    as_json: AsJson = False,
) -> None:
    """Show every consent event of a reader, oldest first, with wording and evidence."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        reader = require_reader(session, email, parts.suppression_key)
        events = consent_events(session, reader)
    looked(parts, "consent show", reader=reader.id)
    answer_rows(
        as_json,
        events,
        ("at", "newsletter", "purpose", "state", "method", "notice", "evidence"),
        empty=f"{email} has said nothing yet.",
    )


@app.callback()
def _noun() -> None:
    """Keep `consent` a noun while it has one verb."""
