"""docker-compose.yml without Docker: each service of ours, by the command that stands in it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
import servers
import yaml
from processes import WITHIN, clean_environment, running, until

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


def test_what_must_hold_in_the_file_holds() -> None:
    assert set(OURS) == {"migrate", "web", "worker-send", "worker-work", "beat"}
    for name in OURS:
        assert SERVICES[name]["stop_grace_period"] == "60s"
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "noeviction" in SERVICES["redis"]["command"]


@pytest.fixture
def environment(postgres_server: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The file's own environment, with its hosts turned into servers of this test."""
    with psycopg.connect(postgres_server + "postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE compose")
    valkey_home = tmp_path / "valkey"
    valkey_home.mkdir()
    port = servers.free_port()
    with servers.valkey_server(valkey_home) as redis_url:
        yield clean_environment(
            **{
                **SERVICES["web"]["environment"],
                "MAILER_HOME": str(tmp_path / "home"),
                "MAILER_DATABASE_URL": postgres_server + "compose",
                "MAILER_REDIS_URL": redis_url,
                "MAILER_SMTP_URL": f"smtp://127.0.0.1:{servers.free_port()}?tls=none",
                "MAILER_BIND": f"127.0.0.1:{port}",
            }
        )


def test_every_service_starts_by_its_command_and_ends_by_sigterm(
    environment: dict[str, str], tmp_path: Path
) -> None:
    _migrate(environment)
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(
                running(SERVICES[name]["command"][1:], environment, tmp_path / f"{name}.log")
            )
            for name in OURS
            if name != "migrate"
        }
        until(lambda: _ready(environment), "the web process")
        try:
            until(lambda: _workers(environment) == ["send", "work"], "the workers")
        except AssertionError:
            print(*(path.read_text() for path in tmp_path.glob("*.log")), sep="\n")
            raise
        assert all(process.poll() is None for process in processes.values())
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for name, process in processes.items():
            assert process.wait(WITHIN) == 0, (tmp_path / f"{name}.log").read_text()
    assert _workers(environment) == []


def _migrate(environment: dict[str, str]) -> None:
    shell, flag, script = SERVICES["migrate"]["command"]
    assert (shell, flag) == ("sh", "-c")
    for command in script.split("&&"):
        words = shlex.split(command)
        assert words[0] == "mailer"
        subprocess.run(
            [sys.executable, "-m", "mailer", *words[1:]], env=environment, check=True,
            capture_output=True, timeout=WITHIN,
        )  # fmt: skip


def _ready(environment: dict[str, str]) -> bool:
    try:
        answer = httpx2.get(f"http://{environment['MAILER_BIND']}/readyz", trust_env=False)
    except httpx2.HTTPError:
        return False
    return answer.status_code == 200 and answer.json()["database"] == "ok"


def _workers(environment: dict[str, str]) -> list[str]:
    told = subprocess.run(
        [sys.executable, "-m", "mailer", "status", "--json"], env=environment, check=True,
        capture_output=True, timeout=WITHIN,
    )  # fmt: skip
    return sorted(worker["queue"] for worker in json.loads(told.stdout)["workers"])
