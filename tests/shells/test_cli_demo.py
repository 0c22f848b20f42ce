"""`mailer demo --exit`: the main job with real processes, and nothing is left running."""

from __future__ import annotations

import subprocess
import sys

import servers
from processes import clean_environment, left_of, until


def test_the_demo_tells_its_story_and_leaves_nothing_running(tmp_path):
    home = tmp_path / "home"
    bind = f"127.0.0.1:{servers.free_port()}"
    ended = subprocess.run(
        [sys.executable, "-m", "mailer", "demo", "--exit"],
        env=clean_environment(MAILER_HOME=str(home), MAILER_BIND=bind),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert "5 mails went out over SMTP" in ended.stdout
    assert "4 mails with that one story" in ended.stdout
    assert "/inbox" in ended.stdout
    until(lambda: left_of(home) == [], "the end of all processes")
