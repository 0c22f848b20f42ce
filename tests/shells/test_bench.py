"""The benchmark measures, and looks into every mail."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench.log
from bench import audit, content, personal
from bench.send import main
from mailer.services.audit import Audit

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


def test_outcomes_are_compiled_once_and_a_render_for_each_reader_costs_much_more(
    capfd: pytest.CaptureFixture[str],
) -> None:
    row = personal.main(["--readers", "200", "--naive", "1"])
    assert row["outcomes"] == row["compiled"] == 20
    assert row["ratio"] > 50
    assert str(row["ratio"]) in capfd.readouterr().out


def test_the_log_takes_in_events_while_readers_sign_up(capfd: pytest.CaptureFixture[str]) -> None:
    [row] = bench.log.main(["--database", "sqlite", "--events", "20000"])
    assert row["leaves"] >= 20_001
    assert row["signups"] > 0
    assert "leaves per second" in capfd.readouterr().out


def test_what_the_audits_bench_builds_is_sound(tmp_path: Path) -> None:
    parts = audit.build(content.settings(tmp_path, f"sqlite:///{tmp_path}/bench.db", 1, 1), 300)
    walk = Audit(parts.sessions, notary=parts.notary, home=parts.settings.home)
    assert [each for each in walk.findings() if not each.kind.is_note] == []
    assert (walk.looked["events"], walk.looked["tiles"], walk.looked["deliveries"]) == (300, 1, 300)
    parts.engine.dispose()
