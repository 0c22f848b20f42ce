"""`mailer init`, `doctor`, `status`: this installation as a whole."""

from __future__ import annotations

from dataclasses import asdict

import typer

from mailer.cli.campaign_fields import canary_sentence
from mailer.cli.console import AsJson, answer, answer_rows, example, print_json, say, shown
from mailer.cli.opening import open_installation


def register(app: typer.Typer) -> None:
    """Add the verbs to the command tree."""
    app.command("init", epilog=example("MAILER_HOME=/srv/mailer mailer init"))(init)
    app.command("doctor", epilog=example("mailer doctor --json"))(doctor)
    app.command("status", epilog=example("mailer status"))(status)


def init(as_json: AsJson = False) -> None:
    """Make the home folder, the keys and the tables.

    What is there already is kept.
    """
    from mailer.settings import load
    from mailer.wiring import initialise

    settings = load()
    fresh = bool(initialise(settings))
    answer(
        as_json,
        {"home": str(settings.home), "keys": str(settings.keys_dir), "fresh": fresh},
        f"{'Made' if fresh else 'Found and kept'} {settings.home}: the database's tables are "
        f"there, and the keys in {settings.keys_dir} (keep a copy of them apart). "
        "Next: `mailer up`.",
    )


def doctor(as_json: AsJson = False) -> None:
    """Look at everything and say what to mend.

    Settings, home, keys, DKIM with the DNS records to publish, database, workers, SPF, DKIM and
    DMARC as DNS has them, Redis, relay or inbox, public URL; status 1 when one of them is wrong.
    """
    from mailer.cli.doctor.examine import examine

    findings = list(examine())
    rows = [{**asdict(finding), "result": finding.result} for finding in findings]
    answer_rows(as_json, rows, ("check", "result", "says"), empty="")
    wrong = [finding.check for finding in findings if not finding.fine]
    if wrong:
        say(f"mailer: {', '.join(wrong)} must be mended; the table says how.")
        raise typer.Exit(1)


def status(as_json: AsJson = False) -> None:
    """Show how things stand, in numbers.

    Readers, open deliveries per lane, newsletters, campaigns in progress, digests, workers,
    what waits for an editor's word, feeds that are broken, relays that fail, deliveries that nobody
    knows the fate of.
    """
    from mailer.services.operations.overview import overview
    from mailer.store.engine import reading
    from mailer.store.halting import ADVICE

    parts = open_installation()
    with reading(parts.sessions) as session:
        fields = overview(session, now=parts.now())
    if as_json:
        print_json(fields)
        return
    for row in fields["campaigns"]:
        row["canary"] = canary_sentence(row["canary"])
    if fields["halted"]:
        typer.echo(f"HALTED, nothing is sent: {fields['halted']} {ADVICE}")
    typer.echo(f"readers: {fields['readers']}")
    typer.echo(
        "open deliveries: "
        + ", ".join(f"{count} {lane}" for lane, count in fields["open_deliveries"].items())
    )
    parts_shown = (
        ("newsletters", ("newsletter", "name", "active_readers")),
        (
            "campaigns",
            ("campaign_id", "newsletter", "subject", "state", "reason", "canary", "counts"),
        ),
        ("digests", ("newsletter", "digest", "next_run_at", "last_outcome")),
        ("workers", ("name", "queue", "seen_at")),
        ("approvals", ("campaign_id", "newsletter", "subject", "until")),
        ("broken_feeds", ("newsletter", "location", "failing_since", "last_error")),
        ("failing_relays", ("relay", "reason", "left_alone_until")),
        ("uncertain", ("campaign_id", "deliveries", "advice")),
    )
    for name, columns in parts_shown:
        typer.echo(f"{name.replace('_', ' ')}: {len(fields[name]) or 'none'}")
        for row in fields[name]:
            typer.echo("  " + " · ".join(shown(row[column]) or "–" for column in columns))
