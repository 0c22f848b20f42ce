"""`mailer campaign check`: what stands in the way of sending, where, and how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from mailer.checking.clients import USUAL, chosen_clients
from mailer.checking.findings import Finding
from mailer.cli.console import AsJson, Yes, example, print_json, say, shown
from mailer.cli.new_file import new_file, refuse_existing
from mailer.cli.opening import open_installation
from mailer.services.campaigns.checking import THOROUGH, Report, check_campaign
from mailer.services.campaigns.gate import CheckFailed
from mailer.services.newsletters.lookup import find_campaign
from mailer.store.engine import reading

app = typer.Typer()

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


@app.command(
    epilog=example(
        "mailer campaign check 7",
        "mailer campaign check 7 --html check.html",
        "mailer campaign check 7 --clients gmail,outlook.windows,apple-mail",
    )
)
def check(
    campaign_id: Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")],
    clients: Annotated[
        str,
        typer.Option(
            help="Mail clients whose abilities count, with commas, as caniemail.com names them.",
            show_default="those that most readers have",
        ),
    ] = "",
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page into this file, with pictures of the mail if it can."),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Look at a campaign's mail before it goes, and ask its links, DNS and SpamAssassin.

    Ends with status 1 where there are errors: those that keep `mailer campaign send` from sending.
    What cannot be reached from here is a warning.
    """
    wanted = [name.strip().lower() for name in clients.split(",") if name.strip()]
    chosen = chosen_clients(wanted) if wanted else USUAL
    if html is not None:
        refuse_existing(html, replace=yes)
    parts = open_installation()
    with reading(parts.sessions) as session:
        number = find_campaign(session, campaign_id).id
    report = check_campaign(
        parts.sessions, number, renderer=parts.renderer, asked=parts.asked, effort=THOROUGH,
        clients=chosen, now=parts.now(),
    )  # fmt: skip
    if html is not None:
        from mailer.cli.check_page import check_page

        page, lacks = check_page(report, parts)
        with new_file(html, replace=yes) as file:
            file.write(page)
        for sentence in lacks:
            say(sentence)
        say(f"Wrote {html}.")
    if as_json:
        print_json(report.as_dict())
    else:
        _print_table(report.findings)
        typer.echo(_sentence(report))
    if report.errors:
        raise CheckFailed(
            f"Campaign {number} is not sent as it is: mend the errors, or send it with --force."
        )


def _sentence(report: Report) -> str:
    counts = report.as_dict()["counts"]
    named = ", ".join(
        f"{number} {level}{'' if number == 1 else 's'}"
        for level, number in counts.items()
        if number
    )
    variants = f", {report.variants} variants" if report.variants > 1 else ""
    return (
        f"Campaign {report.campaign_id} “{shown(report.subject)}”: {named or 'nothing found'} "
        f"({report.octets / 1000:.0f} KB of HTML{variants})."
    )


def _print_table(findings: Iterable[Finding]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=200)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column, ratio in (("level", None), ("check", None), ("where", 2), ("what", 4), ("mend", 3)):
        table.add_column(column, overflow="fold", ratio=ratio)
    for finding in findings:
        level, *rest = (shown(cell) for cell in finding)
        table.add_row(Text(level, _COLOURS[level]), *(Text(cell) for cell in rest))
    if table.row_count:
        with console.capture() as captured:
            console.print(table)
        typer.echo(captured.get(), nl=False)
