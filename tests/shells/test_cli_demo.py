"""`mailer demo --exit`: the main job with real processes, and nothing is left running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _processes_of(home):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(f"MAILER_HOME={home}") in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes())
        except OSError:
            continue
    return found


def test_the_demo_tells_its_story_and_leaves_nothing_running(tmp_path):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MAILER_")}
    environment = {
        **kept,
        "MAILER_HOME": str(tmp_path / "home"),
        "MAILER_BIND": f"127.0.0.1:{_free_port()}",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "mailer", "demo", "--exit"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert ended.returncode == 0, ended.stderr
    assert "5 mails went out over SMTP" in ended.stdout
    assert "4 mails with that one story" in ended.stdout
    assert "/inbox" in ended.stdout
    time.sleep(0.2)
    assert _processes_of(tmp_path / "home") == []
