"""`mailer relay`: the mail servers that mails are handed to."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from mailer.cli.console import AsJson, Yes, answer, answer_rows, ask, example
from mailer.cli.opening import open_installation
from mailer.domain.deliveries import Lane
from mailer.domain.pace import NO_CEILING
from mailer.domain.relays import RelayKind, RelayUse
from mailer.services.delivery.relays import (
    Scope,
    WarmUp,
    add_relay,
    list_relays,
    remove_relay,
    use_relay,
)
from mailer.services.newsletters.lookup import find_newsletter

app = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="NAME", help="The relay's name.")]

_LANES = tuple(lane.name.lower() for lane in Lane)


@app.command(
    epilog=example(
        "mailer relay add ses --url 'smtps://AKIA…:secret@email-smtp.eu-west-1.amazonaws.com'",
        "mailer relay add urgent --url smtp://10.0.0.5:25?tls=none --lane breaking",
        "mailer relay add fresh --url - --preference -1 --warm-up 500 < url.txt",
    )
)
def add(
    name: Name,
    url: Annotated[str, typer.Option(help="As MAILER_SMTP_URL; - reads it from standard input.")],
    newsletter: Annotated[str | None, typer.Option(help="Only for this newsletter.")] = None,
    lane: Annotated[
        str | None, typer.Option(help=f"Only for one lane: {', '.join(_LANES)}.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="queueing: takes mails and delivers later; direct: answers with the receiver's "
            "own reply. Else as the URL says."
        ),
    ] = None,
    preference: Annotated[
        int,
        typer.Option(
            min=-1_000, max=1_000, help="Among equals the smaller goes first; `default` has 0."
        ),
    ] = 10,
    warm_up: Annotated[
        int | None,
        typer.Option(
            min=1, max=NO_CEILING, help="At most so many mails today, and more every day."
        ),
    ] = None,
    warm_up_growth: Annotated[
        float | None,
        typer.Option(help="By what factor the ceiling grows every day (UTC); else by 1.5."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a relay beside the one from MAILER_SMTP_URL; workers use it within two seconds.

    A relay for one newsletter or lane comes before one for all. While the first in order is left
    alone, paused or full for today, the next one takes over. The password is sealed, and never
    shown.
    """
    if warm_up is None and warm_up_growth is not None:
        raise typer.BadParameter("--warm-up-growth needs --warm-up, such as 500.")
    parts = open_installation()
    given = sys.stdin.readline().strip() if url == "-" else url
    with parts.sessions.begin() as session:
        scope = Scope(
            find_newsletter(session, newsletter) if newsletter else None,
            Lane[_choice("lane", lane, _LANES).upper()] if lane else None,
        )
        relay = add_relay(
            session, name=name, url=given, sealer=parts.sealer, scope=scope,
            kind=RelayKind(_choice("kind", kind, tuple(RelayKind))) if kind else None,
            preference=preference,
            warm_up=_warm_up(warm_up, warm_up_growth),
            now=parts.now(),
        )  # fmt: skip
        fields = {"name": relay.name, "url": relay.url, "kind": relay.kind}
    answer(as_json, fields, f"Added relay {name} at {fields['url']}. Next: `mailer doctor`.")


@app.command("list", epilog=example("mailer relay list"))
def list_all(as_json: AsJson = False) -> None:
    """List the relays in order of preference, and how each of them stands."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        rows = list_relays(session, now=parts.now())
    columns = ["name", "url", "kind", "newsletter", "lane", "preference", "standing"]
    columns += [
        column
        for column in ("left_alone_until", "reason", "slowed_to", "sent_today", "left_today")
        if any(row[column] not in (None, "") for row in rows)
    ]
    answer_rows(as_json, rows, columns, empty="No relay yet: set MAILER_SMTP_URL.")


@app.command(epilog=example("mailer relay pause ses"))
def pause(name: Name, as_json: AsJson = False) -> None:
    """Use a relay no more for now; what waits for it in a worker goes back at once.

    Its mails go to the next relay in order, or wait where there is none.
    """
    _use(name, RelayUse.PAUSED, "is paused; `mailer relay resume` uses it again", as_json)


@app.command(epilog=example("mailer relay drain ses"))
def drain(name: Name, as_json: AsJson = False) -> None:
    """Give a relay nothing new; what workers have in hand for it still goes out."""
    _use(name, RelayUse.DRAINING, "is given nothing new", as_json)


@app.command(epilog=example("mailer relay resume ses"))
def resume(name: Name, as_json: AsJson = False) -> None:
    """Use a relay again that was paused or drained."""
    _use(name, RelayUse.ACTIVE, "is used again", as_json)


@app.command(epilog=example("mailer relay remove ses --yes"))
def remove(name: Name, yes: Yes = False, as_json: AsJson = False) -> None:
    """Forget a relay and what it has taught us; drain it first, if it is in use."""
    parts = open_installation()
    ask(f"Relay {name} and its password are forgotten.", yes=yes)
    with parts.sessions.begin() as session:
        remove_relay(session, name)
    answer(as_json, {"name": name, "removed": True}, f"Removed relay {name}.")


def _use(name: str, use: RelayUse, words: str, as_json: bool) -> None:
    parts = open_installation()
    with parts.sessions.begin() as session:
        fields: dict[str, Any] = {"name": use_relay(session, name, use).name, "use": use.value}
    parts.doorbell.ring_send()
    answer(as_json, fields, f"Relay {name} {words}.")


def _warm_up(first: int | None, growth: float | None) -> WarmUp | None:
    if first is None:
        return None
    return WarmUp(first) if growth is None else WarmUp(first, growth)


def _choice(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise typer.BadParameter(f"--{option} is “{value}”: choose {' or '.join(choices)}.")
    return value
