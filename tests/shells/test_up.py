"""`mailer up`: one supervisor that leaves nothing behind, however it ends."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx2
import pytest
import servers
from processes import WITHIN, clean_environment, left_of, running, until


def _environment(home: Path) -> dict[str, str]:
    bind = f"127.0.0.1:{servers.free_port()}"
    return clean_environment(MAILER_HOME=str(home), MAILER_BIND=bind)


def _ready(environment: dict[str, str]) -> bool:
    try:
        answer = httpx2.get(f"http://{environment['MAILER_BIND']}/readyz", trust_env=False)
        return answer.json()["redis"] == "ok"
    except httpx2.HTTPError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_supervisor_ends(tmp_path: Path, number: signal.Signals) -> None:
    home = tmp_path / "home"
    environment = _environment(home)
    with running(["up"], environment, tmp_path / "log") as process:
        until(lambda: _ready(environment), "the web process")
        until(lambda: len(left_of(home)) >= 7, "all processes")
        process.send_signal(number)
        status = process.wait(WITHIN)
    assert status == {signal.SIGKILL: -9, signal.SIGTERM: 0}[number]
    until(lambda: left_of(home) == [], "the end of all processes")


def test_a_taken_port_and_a_taken_home_are_said_in_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = _environment(home)
    host, _, port = environment["MAILER_BIND"].partition(":")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # it is ours already
        taken.bind((host, int(port)))
        taken.listen()
        with running(["up"], environment, tmp_path / "taken") as process:
            assert process.wait(WITHIN) == 1
    said = (tmp_path / "taken").read_text().strip().splitlines()
    assert said[-1].startswith("mailer: ")
    assert port in said[-1]
    with running(["up"], environment, tmp_path / "first") as first:
        until(lambda: _ready(environment), "the first")
        other = {**environment, "MAILER_BIND": f"127.0.0.1:{servers.free_port()}"}
        with running(["up"], other, tmp_path / "second") as second:
            assert second.wait(WITHIN) == 1
        assert f"(process {first.pid})" in (tmp_path / "second").read_text()
        assert first.poll() is None
