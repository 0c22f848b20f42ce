"""`mailer consent export`: a reader's consent in the formats of the standards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mailer.cli.console import AsJson, answer, example, say, write_new
from mailer.cli.noting import note_taking_out
from mailer.cli.opening import open_installation
from mailer.services.consent.export import ExportFormat, export_consent
from mailer.services.readers.readers import require_reader
from mailer.store.engine import reading

app = typer.Typer()


@app.command(
    epilog=example(
        "mailer consent export amina@example.org --format 27560",
        "mailer consent export amina@example.org --format kantara --out receipts.json",
    )
)
def export(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The reader's address or id.")],
    form: Annotated[
        ExportFormat,
        typer.Option("--format", help="ISO/IEC TS 27560:2023 records, or Kantara 1.1 receipts."),
    ],
    out: Annotated[Path | None, typer.Option(help="A new file; else standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write down what a reader agreed to, as a JSON list: one document for every wording.

    docs/reference/consent-export.md says what stands in it.
    """
    parts = open_installation()
    with reading(parts.sessions) as session:
        reader = require_reader(session, email, parts.suppression_key)
        documents = export_consent(session, reader, form, links=parts.links)
    note_taking_out(parts, "consent export", reader=reader.id, format=form.value)
    text = json.dumps(documents, ensure_ascii=False, indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        if not documents:
            say(f"{email} has agreed to nothing yet.")
        return
    write_new(out, text)
    number = len(documents)
    answer(
        as_json,
        {"file": str(out), "documents": number},
        f"Wrote {number} document{'s' * (number != 1)} to {out}.",
    )
