"""`mailer up`, `web`, `worker`, `beat`, `demo`: the processes."""

from __future__ import annotations

from typing import Annotated

import typer

from mailer.cli.console import AsJson, example, print_json, say
from mailer.cli.opening import open_to_serve


def register(app: typer.Typer) -> None:
    """Add the verbs to the command tree."""
    app.command("up", epilog=example("mailer up"))(up)
    app.command("web", epilog=example("MAILER_BIND=127.0.0.1:8000 mailer web"))(web)
    app.command(
        "worker",
        epilog=example("mailer worker --queue all", "mailer worker --until-idle"),
    )(worker)
    app.command("beat", epilog=example("mailer beat"))(beat)
    app.command("bench", epilog=example("mailer bench --messages 20000"))(bench)
    app.command("demo", epilog=example("mailer demo", "mailer demo --exit"))(demo)


def up() -> None:
    """Run everything on this machine.

    Valkey (unless MAILER_REDIS_URL is set), web, both workers and beat, under one supervisor;
    Ctrl-C or SIGTERM ends all of it. A fresh home is set up by itself.
    """
    from mailer.cli.together import run_together

    run_together()


def web() -> None:
    """Serve the pages and the built-in inbox.

    Sign-up, confirm, leave, preferences, archive; the inbox only where no relay is set.
    """
    from mailer.cli.ports import refuse_taken_port
    from mailer.web.server import serve

    parts = open_to_serve()
    refuse_taken_port(parts.settings.bind_host, parts.settings.bind_port)
    serve(parts)


def worker(
    queue: Annotated[
        str, typer.Option(help="send: hands mails to the relay; work: the rest; or all.")
    ] = "all",
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Work until nothing is due, then end.")
    ] = False,
) -> None:
    """Do the work that stands in the database.

    What comes due later, such as a second try or the rest of a campaign behind its canary, is not
    waited for by --until-idle: run it again.
    """
    if queue not in ("send", "work", "all"):
        raise typer.BadParameter(f"--queue is “{queue}”: choose send, work or all.")
    parts = open_to_serve()
    if until_idle:
        from mailer.cli.watching import (
            refuse_failing_relay,
            say_what_is_held,
            say_what_is_uncertain,
        )
        from mailer.store.engine import reading
        from mailer.store.halting import refuse_while_halted
        from workers.due import work_until_idle

        work_until_idle(parts, say)
        say_what_is_uncertain(parts)
        say_what_is_held(parts)
        with reading(parts.sessions) as session:
            refuse_while_halted(session)
        refuse_failing_relay(parts)
        return
    from mailer.cli.together import refuse_without_doorbell, run_both_workers

    if queue == "all":
        run_both_workers(parts.settings)
        return
    refuse_without_doorbell(parts.settings)
    from workers.run import run_worker

    run_worker(queue)


def beat() -> None:
    """Ring the workers every few seconds for what has come due."""
    from mailer.cli.together import refuse_without_doorbell

    refuse_without_doorbell(open_to_serve().settings)
    from workers.run import run_beat

    run_beat()


def bench(
    messages: Annotated[int, typer.Option(min=1_000, help="How many mails a run sends.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="Medians are taken over so many.")] = 3,
    connections: Annotated[int, typer.Option(min=1, max=1_000, help="To the sink.")] = 50,
    postgresql: Annotated[
        str, typer.Option(help="An empty database's URL, to measure PostgreSQL beside SQLite.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Measure the sender on this machine, beside Postfix's smtp-source and the plain recipe.

    Needs Postfix's smtp-sink and smtp-source; everything is invented, and goes to loopback only.
    """
    from bench.send import main

    given = ["--messages", messages, "--rounds", rounds, "--connections", connections]
    given += ["--database", "both", "--postgresql", postgresql] if postgresql else []
    document = main([str(word) for word in given], quiet=as_json)
    if as_json:
        print_json(document)


def demo(
    leave: Annotated[bool, typer.Option("--exit", help="End when the story is told.")] = False,
) -> None:
    """Show the main job on sample content.

    Sign-up, digest, inbox, leaving, with real parts and invented readers; then it stays up.
    The home is MAILER_HOME if given, else ./mailer-data/demo, and with --exit a temporary one.
    """
    from mailer.cli.demo import run_demo

    raise typer.Exit(run_demo(leave=leave))
