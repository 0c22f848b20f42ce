"""`mailer privacy export | retention | record`: a reader's data, its end, and the account of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mailer.cli.console import AsJson, CannotRead, answer, answer_rows, example, say
from mailer.cli.new_file import new_file
from mailer.cli.noting import note, note_taking_out
from mailer.cli.opening import open_installation
from mailer.cli.safeguards import safeguards
from mailer.domain.addresses import address_hash, parse_address
from mailer.services.newsletters.lookup import as_id
from mailer.services.privacy.personal_data import as_json as to_json
from mailer.services.privacy.personal_data import personal_data, personal_data_of, reading_habits
from mailer.services.privacy.processing_record import processing_record
from mailer.services.privacy.retention import retain_now, what_is_due
from mailer.services.readers.readers import require_reader
from mailer.store.engine import reading

app = typer.Typer()

Out = Annotated[
    Path | None,
    typer.Option(help="A new file, or a folder; else standard output."),
]


@app.command(
    epilog=example(
        "mailer privacy export amina@example.org --out for-amina/",
        "mailer privacy export amina@example.org --html --out amina.html",
    )
)
def export(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The person's address or id.")],
    out: Out = None,
    html: Annotated[
        bool, typer.Option("--html", help="As a page to read, not as JSON; a folder gets both.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write everything about one person: for them (articles 15 and 20 GDPR), and for nobody else.

    A folder gets both forms. Files are for your eyes alone (mode 0600); none is overwritten.
    """
    if html and as_json and out is None:
        raise typer.BadParameter("Say --html or --json, or name a folder with --out for both.")
    parts = open_installation()
    with reading(parts.sessions) as session:
        address = None if as_id(email) is not None else parse_address(email)
        if address is None:
            reader = require_reader(session, email, parts.suppression_key)
            document = personal_data(session, reader, parts.practice, now=parts.now())
        else:
            document = personal_data_of(session, address, parts.practice, now=parts.now())
        locale, timezone = reading_habits(session, document)
    from mailer.rendering.documents import personal_data_html

    forms = {
        "json": lambda: to_json(document),
        "html": lambda: personal_data_html(document, locale=locale, timezone=timezone),
    }
    person, key = document["person"], parts.suppression_key
    wanted = ["json", "html"] if out and out.is_dir() else ["html" if html else "json"]
    texts = {form: forms[form]() for form in wanted}
    note_taking_out(
        parts,
        "privacy export",
        reader=person["subscriber_id"] if person else None,
        address_hash=None if person or not address else address_hash(address, key),
        forms=wanted,
    )
    if out is None:
        typer.echo(texts[wanted[0]], nl=False)
        return
    number = person["subscriber_id"] if person else "no-reader"
    stem = f"personal-data-{number}-{document['made_at']:%Y-%m-%d}"
    files = {form: out / f"{stem}.{form}" if out.is_dir() else out for form in wanted}
    for form, file in files.items():
        write_private(file, texts[form])
    written = [str(file) for file in files.values()]
    answer(as_json, {"email": email, "files": written}, f"Wrote {' and '.join(written)}.")
    say("Give it to that person alone, over a way that others cannot read; then delete it.")


def write_private(path: Path, text: str) -> None:
    """Write a new file that its owner alone may read; what is there is never overwritten."""
    if path.exists():
        raise CannotRead(f"{path} exists already: choose another name.")
    with new_file(path, replace=False) as file:
        file.write(text)


@app.command(epilog=example("mailer privacy retention --dry-run"))
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; delete nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what has been kept for long enough; the workers do it once a day.

    Every kind of data has a setting of its own, MAILER_RETENTION_…, in days.
    """
    from workers.due import retention_job

    parts = open_installation()
    job, periods = retention_job(parts), parts.settings.retention
    outcomes = what_is_due(job, periods) if dry_run else retain_now(job, periods)
    if not dry_run:
        counts = {each.kind.value: each.number for each in outcomes if each.number}
        with parts.sessions.begin() as session:
            note(parts, session, "privacy retention", **counts)
    name = "due" if dry_run else "deleted"
    rows = [
        {
            "kind": each.kind.value,
            "what": each.period.rule.what,
            "setting": each.period.rule.setting,
            "days": each.period.days,
            "before": each.before,
            name: each.number,
        }
        for each in outcomes
    ]
    answer_rows(as_json, rows, ("kind", "what", "days", "before", name), empty="")


@app.command(epilog=example("mailer privacy record --out processing-record.md"))
def record(
    out: Annotated[Path | None, typer.Option(help="A new file; else standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the record of processing activities (article 30 GDPR), as Markdown or JSON.

    Made of the settings and of what the database holds; what only you know is marked.
    """
    from mailer.rendering.documents import processing_record_markdown

    parts = open_installation()
    with reading(parts.sessions) as session:
        document = processing_record(
            session, parts.practice, safeguards(parts.settings), now=parts.now()
        )
    text = to_json(document) if as_json else processing_record_markdown(document)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_private(out, text)
    say(f"Wrote {out}. What is marked “to be added” only you know.")
