"""`mailer consent audit`: does everything that consent rests on still hold?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from mailer.cli.console import AsJson, example, print_json, progress, say, shown
from mailer.cli.opening import open_installation
from mailer.services.audit import Audit, Finding, Kind

app = typer.Typer()

_SHOWN = 20
_LOOKED = (
    ("events", "consent events"),
    ("readers", "readers"),
    ("leaves", "places of the log"),
    ("tiles", "tiles"),
    ("checkpoints", "checkpoints"),
    ("notices", "notices"),
    ("subscriptions", "subscriptions"),
    ("deliveries", "mails"),
)
_TITLES = {
    Kind.DAMAGE: "A damaged file",
    Kind.EVENT: "Consent events that are not what was logged",
    Kind.HISTORY: "Consent events that nothing allows",
    Kind.LOG: "Places in the log",
    Kind.TIME: "Places that are older than those before them",
    Kind.TILE: "Tiles of the log",
    Kind.CHECKPOINT: "Checkpoints",
    Kind.EVIDENCE: "Evidence",
    Kind.READER: "Readers",
    Kind.NOTICE: "Notices",
    Kind.SUBSCRIPTION: "Subscriptions that the events do not come to",
    Kind.DELIVERY: "Mails without a standing consent",
    Kind.SUPPRESSED: "Mails to a suppressed address",
    Kind.UNDECIDED: "Note: mails of which it cannot be told",
    Kind.WITNESS: "Note: the witness folder",
    Kind.BEGUN_ANEW: "Note: a log that was begun anew",
}


@app.command(
    epilog=example("mailer consent audit", "mailer consent audit --json > audit-2026-11-25.json")
)
def audit(
    most: Annotated[
        int | None, typer.Option(min=0, help="So many of each kind are listed; 0: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that everything consent rests on still holds, and name each row that does not.

    Events against the log's hashes, the log against its tiles and signed checkpoints, the sealed
    evidence, the wordings, the subscriptions, and every mail sent against the consent at that time.
    Changes nothing, and everything may run meanwhile. 20 of each kind are listed, with --json all.
    Status 1 where anything is wrong.
    """
    usual = 0 if as_json else _SHOWN
    parts = open_installation()
    with progress("audit") as advance:
        walk = Audit(parts.sessions, notary=parts.notary, home=parts.settings.home, advance=advance)
        kept, totals = _collect(walk.findings(), most if most is not None else usual)
    wrong = sum(number for kind, number in totals.items() if not kind.is_note)
    if as_json:
        print_json(_document(walk, kept, totals, wrong))
    else:
        _tell(walk, kept, totals)
    if wrong:
        say(f"mailer: {wrong:,} findings: docs/how-to/consent-audit.md says what to do.")
        raise typer.Exit(1)
    if not as_json:
        typer.echo("Everything holds.")


Kept = dict[Kind, list[Finding]]


def _collect(findings: Iterable[Finding], most: int) -> tuple[Kept, Counter[Kind]]:
    """Keep so many of each kind (0: all), and count all."""
    kept: Kept = defaultdict(list)
    totals: Counter[Kind] = Counter()
    for finding in findings:
        totals[finding.kind] += 1
        if not most or totals[finding.kind] <= most:
            kept[finding.kind].append(finding)
    return kept, totals


def _document(walk: Audit, kept: Kept, totals: Counter[Kind], wrong: int) -> dict[str, Any]:
    listed = [finding for kind in Kind for finding in kept.get(kind, ())]
    return {
        "sound": not wrong,
        "looked_at": {name: walk.looked[name] for name, _ in _LOOKED},
        "totals": {kind.value: totals[kind] for kind in Kind if totals[kind]},
        "findings": [each.document() for each in listed if not each.kind.is_note],
        "notes": [each.document() for each in listed if each.kind.is_note],
    }


def _tell(walk: Audit, kept: Kept, totals: Counter[Kind]) -> None:
    looked = ", ".join(f"{walk.looked[name]:,} {words}" for name, words in _LOOKED)
    typer.echo(f"Looked at {looked}.")
    for kind in Kind:
        if not totals[kind]:
            continue
        listed = kept[kind]
        rest = f", {len(listed)} of them listed" if len(listed) < totals[kind] else ""
        typer.echo(f"\n{_TITLES[kind]} ({totals[kind]:,}{rest}):")
        for finding in listed:
            typer.echo(f"  {shown(f'{finding.table} {finding.row}')}: {shown(finding.words)}")
    typer.echo("")
