"""`mailer publisher`: who runs this installation."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mailer.cli.console import AsJson, answer_fields, answer_rows, example, say
from mailer.cli.noting import looked
from mailer.cli.opening import open_installation
from mailer.cli.when import parse_since
from mailer.domain.addresses import address_hash, parse_address
from mailer.services.installation.trail import audit_trail
from mailer.services.newsletters.lookup import as_id
from mailer.services.newsletters.newsletters import edit_publisher, show_publisher
from mailer.store.engine import reading
from mailer.store.models import Publisher
from mailer.store.readers import reader_with_hash

app = typer.Typer()


@app.command(epilog=example("mailer publisher show --json"))
def show(as_json: AsJson = False) -> None:
    """Show the controller's name, address, contact and jurisdiction."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        answer_fields(as_json, _fields(show_publisher(session)))


@app.command(
    epilog=example('mailer publisher edit --name "Baobab Press" --contact privacy@baobab.example')
)
def edit(
    name: Annotated[str | None, typer.Option(help="The organisation's legal name.")] = None,
    address: Annotated[str | None, typer.Option(help="Its postal address.")] = None,
    contact: Annotated[str | None, typer.Option(help="Where readers reach it.")] = None,
    jurisdiction: Annotated[str | None, typer.Option(help="The law it is under.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given and keep the rest."""
    given = {"name": name, "address": address, "contact": contact, "jurisdiction": jurisdiction}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("Say what to change, such as --name.")
    parts = open_installation()
    with parts.sessions.begin() as session:
        edit_publisher(session, changes)
        fields = _fields(show_publisher(session))
    answer_fields(as_json, fields)


@app.command(
    epilog=example(
        "mailer publisher trail --since 30d",
        "mailer publisher trail --reader amina@example.org --json",
    )
)
def trail(
    reader: Annotated[
        str | None,
        typer.Option(metavar="EMAIL", help="Only what concerned this address, or reader's id."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Such as 2026-11-01 (UTC), or 30d.")
    ] = None,
    before: Annotated[
        int | None,
        typer.Option(metavar="ID", min=1, max=2**63 - 1, help="Only what is older than this line."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many lines.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show which operator did what to readers' data, and when: the newest first.

    Every verb that changes readers, takes their data out, looks at it, or sends mail leaves a line.
    """
    parts = open_installation()
    with reading(parts.sessions) as session:
        number = as_id(reader) if reader else None
        hashed = None
        if reader and number is None:
            hashed = address_hash(parse_address(reader), parts.suppression_key)
            number = reader_with_hash(session, hashed)
        rows = audit_trail(
            session,
            most=limit + 1,
            before=before,
            since=parse_since(since, now=parts.now()) if since else None,
            subscriber_id=number,
            hashed=hashed,
        )
    shown, older = rows[:limit], rows[limit:]
    looked(parts, "publisher trail", reader=number)
    answer_rows(
        as_json,
        shown,
        ("id", "at", "operator", "action", "email", "details"),
        empty="Nothing of that kind has been done yet.",
    )
    if older:
        say(f"There is more: add --before {shown[-1]['id']}.")


def _fields(publisher: Publisher) -> dict[str, Any]:
    return {
        "name": publisher.name,
        "address": publisher.address,
        "contact": publisher.contact,
        "jurisdiction": publisher.jurisdiction,
    }
