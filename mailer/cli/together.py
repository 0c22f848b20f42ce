"""Several processes as one: everything of `mailer up`, or both workers of `worker --queue all`."""

from __future__ import annotations

import socket
import sys
from functools import partial

import typer

from mailer.cli.console import say
from mailer.cli.opening import open_to_serve
from mailer.cli.ports import refuse_taken_port
from mailer.domain.errors import Refusal
from mailer.embedded.supervisor import ChildSpec, Supervisor
from mailer.embedded.valkey import answers, valkey_command, valkey_url
from mailer.settings import Settings, load
from mailer.wiring import initialise


class NoDoorbell(Refusal):
    """A worker that waits for rings would never hear one."""


def run_together() -> None:
    """Run Valkey (unless one is set), web, workers and beat until SIGTERM or Ctrl-C."""
    settings = load()
    refuse_taken_port(settings.bind_host, settings.bind_port)
    if not settings.keys:
        initialise(settings)
        say(f"Set up a new installation in {settings.home}.")
        settings = load()
    _refuse_what_cannot_run()
    environment = _environment(settings)
    web = ChildSpec("web", _command("web"), environment, partial(_listens, settings))
    supervisor = Supervisor(
        settings.home,
        [
            *_valkey(settings),
            web,
            *_workers(environment),
            ChildSpec("beat", _command("beat"), environment),
        ],
    )
    supervisor.start()
    typer.echo(f"Up: {settings.public_url} (logs in {settings.home / 'logs'}). Ctrl-C ends it.")
    if settings.smtp_url is None and settings.serves_loopback_alone:
        typer.echo(f"No relay is set: every mail is in the inbox, {settings.public_url}/inbox")
    elif settings.smtp_url is None:
        typer.echo(
            f"No relay is set: mails reach nobody and are kept in {settings.inbox_dir}. The "
            "inbox's page is shown on loopback only; set MAILER_SMTP_URL to send."
        )
    supervisor.run()


def run_both_workers(settings: Settings) -> None:
    """Run the `send` and the `work` worker until SIGTERM or Ctrl-C, with Valkey if none runs."""
    environment = _environment(settings)
    valkey = [] if answers(settings.home) else _valkey(settings)
    beat = [ChildSpec("beat", _command("beat"), environment)] if valkey else []
    folder = settings.home / "worker"
    supervisor = Supervisor(folder, [*valkey, *_workers(environment), *beat])
    supervisor.start()
    say(f"Both workers run (logs in {folder / 'logs'}). Ctrl-C ends them.")
    supervisor.run()


def refuse_without_doorbell(settings: Settings) -> None:
    """Raise NoDoorbell where no Redis is set and the embedded one does not run.

    One that is set and silent may come back: workers wait for it.
    """
    if settings.redis_url is None and not answers(settings.home):
        raise NoDoorbell(
            "No Redis is set and none of our own runs: start everything with `mailer up`, both "
            "workers with `mailer worker --queue all`, or set MAILER_REDIS_URL."
        )


def _refuse_what_cannot_run() -> None:
    """Open everything once, so that a refusal is told here and not in a child's log."""
    open_to_serve().engine.dispose()


def _valkey(settings: Settings) -> list[ChildSpec]:
    if settings.redis_url is not None:
        return []
    command = valkey_command(settings.home)
    return [ChildSpec("valkey", command, ready=partial(answers, settings.home))]


def _workers(environment: dict[str, str]) -> list[ChildSpec]:
    return [
        ChildSpec(queue, _command("worker", "--queue", queue), environment)
        for queue in ("send", "work")
    ]


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "MAILER_HOME": str(settings.home),
        "MAILER_REDIS_URL": settings.redis_url or valkey_url(settings.home),
    }


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mailer", *arguments]


def _listens(settings: Settings) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.bind_host, settings.bind_host)
    try:
        with socket.create_connection((host, settings.bind_port), timeout=1.0):
            return True
    except OSError:
        return False
