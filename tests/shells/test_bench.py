"""The benchmark measures, and looks into every mail."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench.log
from bench.send import main

POSTFIX = Path("/usr/sbin/smtp-source")


@pytest.mark.skipif(not POSTFIX.exists(), reason="no smtp-source: `make system` installs Postfix")
def test_a_short_run_sends_every_mail_and_verifies_it(capfd: pytest.CaptureFixture[str]) -> None:
    document = main(["--messages", "300", "--rounds", "1", "--connections", "5"])
    names = [row["name"] for row in document["senders"]]
    assert names == ["smtp-source", "mailer on sqlite"]
    assert document["verified"] == {"sqlite": "300 mails, each with its own working link"}
    assert 25_000 < document["bytes"] < 30_000
    assert document["senders"][1]["ratios"] > 0
    assert "× smtp-source" in capfd.readouterr().out


def test_the_log_takes_in_events_while_readers_sign_up(capfd: pytest.CaptureFixture[str]) -> None:
    [row] = bench.log.main(["--database", "sqlite", "--events", "20000"])
    assert row["leaves"] >= 20_001
    assert row["signups"] > 0
    assert "leaves per second" in capfd.readouterr().out
