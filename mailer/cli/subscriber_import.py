"""`mailer subscriber import`: a list from elsewhere, with where its consents come from."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailer.cli.console import AsJson, print_json, progress, say
from mailer.cli.opening import open_installation
from mailer.domain.consent import Basis
from mailer.domain.importing import Outcome
from mailer.domain.spans import parse_span

if TYPE_CHECKING:
    from mailer.services.imports.importing import Surroundings
    from mailer.services.imports.order import ImportOrder
    from mailer.wiring import Parts

_COLUMN_MAPS = typer.Option(
    "--map",
    metavar="FIELD=COLUMN",
    help="Which column is what: email, name, first_name, last_name, locale, timezone, status, "
    "stated_at, left_at or attribute.NAME; without a column: none. Repeatable.",
)
_WORDS = {
    Outcome.NEW: "new",
    Outcome.ALREADY: "subscribed already",
    Outcome.STAYS_AWAY: "stay away: they left or refused here",
    Outcome.LEFT: "recorded as left",
    Outcome.SUPPRESSED: "suppressed",
    Outcome.DOUBLED: "doubles of another row",
    Outcome.REJECTED: "rejected",
}


def import_readers(
    newsletter_name: Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")],
    file: Annotated[Path, typer.Argument(help="A CSV file, as other programs export it.")],
    purpose: Annotated[list[str], typer.Option(help="What they consented to; repeatable.")],
    source: Annotated[str, typer.Option(help="Where and when they consented.")],
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Ask every reader by mail first; else active at once.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")
    ] = False,
    column_map: Annotated[list[str] | None, _COLUMN_MAPS] = None,
    stated_at: Annotated[
        str | None,
        typer.Option(help="When they consented: a column, or a date such as 2024-02-01."),
    ] = None,
    basis: Annotated[
        Basis, typer.Option(help="What mailing them rests on; implied ends by itself.")
    ] = Basis.CONSENT,
    valid_for: Annotated[
        str | None,
        typer.Option(help="How long an implied consent lasts: 2y (the default), 6mo, 180d."),
    ] = None,
    notice_version: Annotated[
        str | None, typer.Option(help="The notice they agreed to: a version, or its sha256.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where bad rows go; else FILE.rejected.csv.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Such as utf-8 or cp1252, where it is not found out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record the consents of a list: no mail, the source is kept, and who has left stays away.

    Exports of Mailchimp, Substack, Ghost and listmonk are recognised, with who has unsubscribed or
    bounced there. Doing it again changes nothing; what was interrupted goes on.
    """
    from mailer.services.imports.order import ImportOrder

    fixed, columns = _stated(stated_at, _mapped(column_map or []))
    order = ImportOrder(
        newsletter=newsletter_name,
        path=file,
        purposes=tuple(purpose),
        source=source,
        columns=columns,
        confirm=confirm,
        basis=basis,
        valid_for=parse_span(valid_for) if valid_for else None,
        stated_at=fixed,
        notice=notice_version,
        rejects=rejects,
        encoding=encoding,
    )
    parts = open_installation()
    report = _import(parts, order, dry_run=dry_run, asks=sys.stdin.isatty() and not as_json)
    if confirm and not dry_run:
        parts.doorbell.ring_send()
    if as_json:
        print_json(report)
    else:
        _tell(report)


def _import(parts: Parts, order: ImportOrder, *, dry_run: bool, asks: bool) -> dict[str, Any]:
    """Import, and ask for what cannot be told, where somebody is there to ask."""
    from mailer.lists.columns import UnclearColumns
    from mailer.services.imports.importing import import_list

    while True:
        try:
            with progress(f"reading {order.path.name}") as advance:
                return import_list(order, _surroundings(parts, advance), dry_run=dry_run)
        except UnclearColumns as unclear:
            if not asks:
                raise
            column = _choose(unclear)
            order = replace(order, columns={**order.columns, unclear.field: column})


def _surroundings(parts: Parts, advance: Any) -> Surroundings:
    from mailer.services.imports.importing import Surroundings
    from mailer.services.imports.known import Desk

    sqlite = parts.engine.dialect.name == "sqlite"
    return Surroundings(
        sessions=parts.sessions,
        desk=Desk(parts.renderer, parts.suppression_key, parts.now),
        folder=parts.settings.home,
        operator=parts.operator,
        pause=(lambda: time.sleep(_PAUSE)) if sqlite else (lambda: None),
        progress=lambda words, done, total: advance(done, total, words),
    )


_PAUSE = 0.002
"""Seconds in which others may write on SQLite; they try about once a millisecond."""


def _mapped(given: list[str]) -> dict[str, str]:
    from mailer.lists.columns import ATTRIBUTE, FIELDS

    columns: dict[str, str] = {}
    for item in given:
        name, equals, column = item.partition("=")
        name = name.strip()
        if not equals or not (name in FIELDS or name.startswith(ATTRIBUTE)):
            raise typer.BadParameter(
                f"“{item}” is not FIELD=COLUMN: fields are {', '.join(FIELDS)} and "
                f"{ATTRIBUTE}NAME.",
                param_hint="--map",
            )
        columns[name] = column.strip()
    return columns


def _stated(text: str | None, columns: dict[str, str]) -> tuple[datetime | None, dict[str, str]]:
    """Take --stated-at for the date that it is, else for the name of a column."""
    from mailer.services.imports.rows import parse_moment

    if text is None:
        return None, columns
    moment = parse_moment(text)
    if moment is None:
        return None, {**columns, "stated_at": text}
    return moment, {**columns, "stated_at": ""}


def _choose(unclear: Any) -> str:
    say(str(unclear))
    for number, column in enumerate(unclear.columns, 1):
        say(f"  {number}  {column}")
    words = f"Which column is the {unclear.field.replace('_', ' ')}?"
    while not 1 <= (number := typer.prompt(words, type=int, err=True)) <= len(unclear.columns):
        say(f"Give a number from 1 to {len(unclear.columns)}.")
    return str(unclear.columns[number - 1])


def _tell(report: dict[str, Any]) -> None:
    """Say for people what became, or would become, of the rows."""
    recognised = (
        f", recognised as an export of {report['recognised']}" if report["recognised"] else ""
    )
    say(f"{report['file']}: {report['encoding']}, {report['delimiter']}s{recognised}.")
    say("; ".join(f"{name} from “{column}”" for name, column in report["columns"].items()) + ".")
    if report["imported_before"]:
        say(
            f"This very import was finished on {report['imported_before']:%Y-%m-%d %H:%M} UTC: "
            "nothing was changed."
        )
    elif report["resumed_at"]:
        say(f"Went on after {report['resumed_at']:,} rows that an earlier run had written.")
    for example in report["examples"]["rejected"][:_EXAMPLES]:
        say(f"  line {example['line']}: {example['reason']}")
    for example in report["examples"]["doubled"][:_EXAMPLES]:
        say(f"  line {example['line']}: the same reader as line {example['same_as_line']}")
    if report["rejects"]:
        say(f"The rejected rows, with the reasons, are in {report['rejects']}.")
    counted = ", ".join(
        f"{report[outcome]:,} {words}" for outcome, words in _WORDS.items() if report[outcome]
    )
    begin = "A dry run, nothing was written: of " if report["dry_run"] else "Of "
    typer.echo(f"{begin}{report['rows']:,} rows: {counted or 'nothing'}.")


_EXAMPLES = 5
