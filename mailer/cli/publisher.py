"""`mailer publisher`: who runs this installation."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mailer.cli.console import AsJson, answer_fields, example
from mailer.cli.opening import open_installation
from mailer.services.newsletters import edit_publisher, show_publisher
from mailer.store.models import Publisher

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


def _fields(publisher: Publisher) -> dict[str, Any]:
    return {
        "name": publisher.name,
        "address": publisher.address,
        "contact": publisher.contact,
        "jurisdiction": publisher.jurisdiction,
    }
