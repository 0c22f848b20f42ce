"""`mailer provider`: the receiving providers, such as google, microsoft, or a domain of its own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mailer.cli.console import AsJson, answer, answer_rows, example, progress
from mailer.cli.noting import note
from mailer.cli.opening import open_installation
from mailer.services.delivery.providers import hold_provider, list_providers, release_provider
from mailer.store.engine import reading

app = typer.Typer()

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="google, microsoft, yahoo, or a domain of readers.")
]


@app.command("list", epilog=example("mailer provider list"))
def list_all(as_json: AsJson = False) -> None:
    """List the providers that are held, left alone or slowed down, and why.

    Only a relay of kind `direct` tells us what receivers say while we send.
    """
    parts = open_installation()
    with reading(parts.sessions) as session:
        rows = [asdict(each) for each in list_providers(session, now=parts.now())]
    answer_rows(
        as_json,
        rows,
        ("provider", "held_since", "relay", "failures", "left_alone_until", "rate", "reason"),
        empty="Every provider is sent to as fast as it goes.",
    )


@app.command(epilog=example("mailer provider hold google"))
def hold(name: Name, as_json: AsJson = False) -> None:
    """Send nothing more to a provider, over any relay; its mails wait, within their lifetime."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        provider, new = hold_provider(session, name, now=parts.now())
        note(parts, session, "provider hold", provider=provider)
    words = "is held" if new else "was held already"
    sentence = f"{provider} {words}; `mailer provider release {provider}` sends to it again."
    answer(as_json, {"provider": provider, "held": True}, sentence)


@app.command(epilog=example("mailer provider release google"))
def release(name: Name, as_json: AsJson = False) -> None:
    """Send to a provider again, and forget what it has taught us."""
    parts = open_installation()
    with progress("releasing mails") as advance:
        provider, waited = release_provider(
            parts.sessions,
            name,
            advance=lambda done: advance(done, None),
            note=lambda session, provider: note(
                parts, session, "provider release", provider=provider
            ),
        )
    parts.doorbell.ring_send()
    fields = {"provider": provider, "released": waited}
    answer(as_json, fields, f"{provider} is sent to again; {waited} mails had been put off.")
