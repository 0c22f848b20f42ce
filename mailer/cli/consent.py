"""`mailer consent`: what readers said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mailer.cli import consent_audit, consent_export, consent_proof
from mailer.cli.console import AsJson, example, print_json, say, shown
from mailer.cli.noting import looked
from mailer.cli.opening import open_installation
from mailer.domain.consent import Basis, Method
from mailer.services.consent.standing import Standing, standing_consents
from mailer.services.readers.readers import consent_events, require_reader
from mailer.store.engine import reading

app = typer.Typer()
app.add_typer(consent_proof.app)
app.add_typer(consent_export.app)
app.add_typer(consent_audit.app)

_HOW: dict[str, str] = {
    Method.FORM: "by the form on our pages",
    Method.CONFIRM: "by the button behind the link of the confirmation mail",
    Method.PREFERENCES: "on the preference page behind the link of a mail",
    Method.ONE_CLICK: "by the link of a mail to leave",
    Method.MAILTO: "by a mail to our address for leaving",
    Method.CLI: "entered by an operator",
    Method.IMPORT: "imported from a list",
    Method.API: "by the publisher's own software",
    Method.COMPLAINT: "by a complaint about our mail",
    Method.EXPIRY: "by itself, for its time was over",
    Method.ERASURE: "by a request to be forgotten",
}
_EVIDENCE = {
    "address": "address",
    "source": "source",
    "page_url": "page",
    "ip": "IP address",
    "user_agent": "browser",
    "confirmation_message_id": "confirmation",
}


@app.command(epilog=example("mailer consent show amina@example.org --json"))
def show(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The reader's address or id.")],
    as_json: AsJson = False,
) -> None:
    """Show every consent event of a reader, oldest first, with wording and evidence.

    Ends with the answer to "why did you write to me?": one sentence for every consent that stands.
    """
    parts = open_installation()
    with reading(parts.sessions) as session:
        reader = require_reader(session, email, parts.suppression_key)
        events = consent_events(session, reader)
        address = reader.email
    looked(parts, "consent show", reader=reader.id)
    if as_json:
        print_json(events)
        return
    if not events:
        say(f"{email} has said nothing yet.")
        return
    for event in events:
        typer.echo("\n".join(_lines(event)) + "\n")
    standing = standing_consents(events, now=parts.now())
    for each in standing:
        typer.echo(_sentence(address, each))
    if not standing:
        typer.echo(f"No consent of {address} stands: no campaign goes there.")


def _lines(event: Mapping[str, Any]) -> list[str]:
    where = f"{event['newsletter']}/{event['purpose']}"
    lines = [f"{shown(event['at'])}  {event['state']}: {where}, {_HOW[event['method']]}"]
    notice = event["notice"]
    if notice:
        assumed = ", assumed: the form did not say which" if notice["assumed"] else ""
        lines.append(_line("wording", f"{_wording(notice)}{assumed}"))
    if event["basis"] == Basis.IMPLIED:
        lines.append(_line("basis", "implied, not the reader's word"))
    for field, name in (("stated_at", "stated for"), ("valid_until", "valid until")):
        if event[field]:
            lines.append(_line(name, shown(event[field])))
    lines += [
        _line(name, shown(event["evidence"][field]))
        for field, name in _EVIDENCE.items()
        if event["evidence"].get(field)
    ]
    return lines


def _line(name: str, text: str) -> str:
    return f"    {name:<12}  {text}"


def _wording(notice: Mapping[str, Any]) -> str:
    return f"version {notice['version']} ({notice['locale']}, SHA-256 {notice['sha256']})"


def _sentence(address: str, standing: Standing) -> str:
    """Say why we may write to the reader for one purpose."""
    given, last = standing.given, standing.last
    words = [
        f"We write to {address} for {given['newsletter']}/{given['purpose']} since "
        f"{shown(given['at'])}",
        "on an implied consent" if standing.implied else "on their consent",
        _HOW[given["method"]],
    ]
    if given["evidence"].get("source"):
        words.append(f"source “{shown(given['evidence']['source'])}”")
    if given["stated_at"]:
        words.append(f"stated for {shown(given['stated_at'])}")
    if last is not given:
        words.append(f"renewed on {shown(last['at'])} {_HOW[last['method']]}")
    words.append(
        f"under {_wording(last['notice'])} of the wording"
        if last["notice"]
        else "under a wording that is not known"
    )
    if last["valid_until"]:
        words.append(f"until {shown(last['valid_until'])}")
    return f"{', '.join(words)}."
