"""`mailer demo`: starts everything as `mailer up` does, plays the story, and stays up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import httpx2
import typer

from mailer.cli.console import say
from mailer.cli.demo_story import SLUG, Story, StoryStuck
from mailer.cli.ports import PortInUse, free_port, refuse_taken_port
from mailer.domain.errors import Refusal
from mailer.embedded.leash import leashed
from mailer.services.newsletters.newsletters import list_newsletters
from mailer.settings import Settings, load
from mailer.store.engine import reading

if TYPE_CHECKING:
    from mailer.wiring import Parts

_START_SECONDS = 40.0
_STORY_SECONDS = 60.0
_STOP_SECONDS = 30.0


class NoDemoHere(Refusal):
    """The demo will not run in this home or with these settings."""


def run_demo(*, leave: bool) -> int:
    """Play the demo; with `leave` end after it, else stay up until Ctrl-C. Returns the status."""
    signal.signal(signal.SIGTERM, _end)
    with _home(os.environ.get("MAILER_HOME"), leave=leave) as home:
        environment = {**os.environ, "MAILER_HOME": str(home)}
        settings = load(environment)
        if settings.smtp_url is not None:
            raise NoDemoHere(
                "The demo sends to invented readers, and only into the built-in inbox: "
                "unset MAILER_SMTP_URL."
            )
        settings = _with_free_port(settings, environment)
        # The sample stories' images are on our own pages.
        environment["MAILER_FETCH_ALLOW"] = urlsplit(settings.public_url).netloc
        log = home / "demo.log"
        with _everything(environment, log) as process:
            _wait_until_ready(settings, process, log)
            _play(load(environment), leave=leave)  # again: the keys are there now
            if leave:
                say("All of it is put away now; `mailer demo` stays up for a look.")
            else:
                say("Everything stays up. Ctrl-C ends it.")
                with suppress(KeyboardInterrupt):  # the way it is meant to end
                    process.wait()
    return 0


def _play(settings: Settings, *, leave: bool) -> None:
    from mailer.wiring import open_parts

    parts = open_parts(settings)
    try:
        if _played_before(parts):
            if leave:
                raise NoDemoHere(
                    f"{settings.home} holds a demo already: give MAILER_HOME a new folder."
                )
            say(f"The demo of before is still in {settings.home}: nothing was sent again.")
            _tell_where(settings, "")
            return
        steps = 0

        def tell(sentence: str) -> None:
            nonlocal steps
            steps += 1
            typer.echo(f"{steps:2}. {sentence}")

        typer.echo("What happens:")
        began = time.monotonic()
        story = Story(parts, tell=tell, clock=time.monotonic, until=began + _STORY_SECONDS)
        story.play()
        typer.echo(f"All of it took {time.monotonic() - began:.0f} seconds.")
        _tell_where(settings, story.archive_url)
    finally:
        parts.engine.dispose()


def _tell_where(settings: Settings, archive_url: str) -> None:
    base = settings.public_url
    typer.echo("\nWhere to click:")
    typer.echo(f"  the inbox, with every mail      {base}/inbox")
    typer.echo(f"  the sign-up page                {base}/n/{SLUG}")
    if archive_url:
        typer.echo(f"  the digest in a browser         {archive_url}")
    typer.echo("\nWhat to type (in another terminal):")
    typer.echo(f"  export MAILER_HOME={settings.home} MAILER_BIND={_bind(settings)}")
    typer.echo("  mailer status")
    typer.echo("  mailer subscriber history kofi@readers.test\n")


def _bind(settings: Settings) -> str:
    return f"{settings.bind_host}:{settings.bind_port}"


def _played_before(parts: Parts) -> bool:
    with reading(parts.sessions) as session:
        slugs = {newsletter.slug for newsletter in list_newsletters(session)}
    if slugs and SLUG not in slugs:
        raise NoDemoHere(
            f"{parts.settings.home} holds newsletters of your own: give MAILER_HOME a new folder "
            "for the demo."
        )
    return SLUG in slugs


def _with_free_port(settings: Settings, environment: dict[str, str]) -> Settings:
    """Return settings whose port is free; another one than asked for only when none was."""
    try:
        refuse_taken_port(settings.bind_host, settings.bind_port)
    except PortInUse:
        if "MAILER_BIND" in environment:
            raise
        port = free_port(settings.bind_host)
        say(f"Port {settings.bind_port} is in use, so the demo takes {port}.")
        environment["MAILER_BIND"] = f"{settings.bind_host}:{port}"
        return load(environment)
    return settings


@contextmanager
def _home(given: str | None, *, leave: bool) -> Iterator[Path]:
    """Yield the demo's home: the given one, or one of its own, thrown away when it ends itself."""
    if given:
        home = Path(given)
    elif leave:
        home = Path(tempfile.mkdtemp(prefix="mailer-demo-"))
    else:
        home = Path("mailer-data/demo")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        yield home
    finally:
        if leave and not given:
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _everything(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `mailer up` beside us; it ends with us, however we end."""
    command = [sys.executable, "-m", "mailer", "up"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=leashed(signal.SIGTERM),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(settings: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
    say(f"Starting web, workers and inbox in {settings.home} …")
    until = time.monotonic() + _START_SECONDS
    with httpx2.Client(trust_env=False, timeout=2.0) as client:
        while time.monotonic() < until:
            if process.poll() is not None:
                raise StoryStuck(_last_line(log) or "`mailer up` ended at once.")
            try:
                if client.get(f"{settings.public_url}/healthz").status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.2)
    raise StoryStuck(
        f"{settings.public_url} did not answer within {_START_SECONDS:.0f} s: see {log}."
    )


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """End by SIGTERM as by Ctrl-C: with everything put away."""
    sys.exit(143)


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("mailer: ") if lines else ""
