"""`mailer privacy export | retention | record` as an operator uses them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from shells.endings import Command, refused

AMINA = "amina@readers.test"


def test_a_persons_data_go_to_new_files_that_nobody_else_may_read(
    weekly: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "for-amina"
    folder.mkdir()
    ended = weekly("privacy", "export", AMINA, "--out", str(folder), "--json")
    assert ended.status == 0, ended.err
    files = [Path(name) for name in ended.document["files"]]
    assert sorted(file.suffix for file in files) == [".html", ".json"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    document = json.loads(next(file for file in files if file.suffix == ".json").read_text())
    assert document["person"]["email"] == AMINA
    assert document["consent_events"][0]["evidence"]["source"] == "paper list"
    again = weekly("privacy", "export", AMINA, "--out", str(folder))
    assert again.status == 1
    assert "exists already: choose another name." in again.err


def test_without_a_file_the_answer_is_the_document_or_the_page(weekly: Command) -> None:
    document = weekly("privacy", "export", AMINA).document
    assert document["person"]["email"] == AMINA
    assert weekly("privacy", "export", "1", "--json").document["person"] == document["person"]
    page = weekly("privacy", "export", AMINA, "--html")
    assert page.out.startswith("<!DOCTYPE html>")
    assert AMINA in page.out
    acts = weekly("privacy", "export", AMINA).document["operator_actions"]
    assert [act["action"] for act in acts] == ["subscriber add"] + ["privacy export"] * 3
    assert all("operator" not in act for act in acts)


def test_one_file_gets_the_form_that_was_asked_for(weekly: Command, tmp_path: Path) -> None:
    page, document = tmp_path / "a.html", tmp_path / "a.json"
    assert weekly("privacy", "export", AMINA, "--html", "--out", str(page)).status == 0
    assert weekly("privacy", "export", AMINA, "--out", str(document)).status == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert json.loads(document.read_text())["version"] == 1


def test_of_whom_nothing_is_known_one_sentence_says_so(weekly: Command, tmp_path: Path) -> None:
    refused(
        weekly("privacy", "export", "nobody@readers.test"),
        "Nothing is kept about nobody@readers.test: no reader, no suppression, no test mail.",
    )
    assert weekly("privacy", "export", "not an address").status == 1
    missing = weekly("privacy", "export", AMINA, "--out", str(tmp_path / "no" / "where.json"))
    assert "Cannot write" in missing.err
    assert missing.status == 1


def test_a_dry_run_counts_and_deletes_nothing(
    weekly: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILER_RETENTION_LOGS", "2")
    monkeypatch.setenv("MAILER_RETENTION_FEEDBACK", "never")
    old = datetime.now(UTC) - timedelta(days=4)
    log = home / "logs" / f"web.log.{old:%Y-%m-%d}"
    log.parent.mkdir()
    log.write_text("x")
    rows = {
        row["kind"]: row for row in weekly("privacy", "retention", "--dry-run", "--json").document
    }
    assert rows["logs"]["due"] == 1
    assert rows["logs"]["days"] == 2
    assert rows["logs"]["before"][:10] == f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"
    assert (rows["feedback"]["days"], rows["feedback"]["before"]) == (None, None)
    assert log.exists()
    rows = {row["kind"]: row for row in weekly("privacy", "retention", "--json").document}
    assert rows["logs"]["deleted"] == 1
    assert not log.exists()
    table = weekly("privacy", "retention", "--dry-run").out
    assert "unconfirmed" in table


def test_a_period_that_is_none_is_refused(weekly: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_RETENTION_ATTEMPTS", "quarter")
    refused(
        weekly("privacy", "retention", "--dry-run"),
        "MAILER_RETENTION_ATTEMPTS is “quarter”: write a whole number of days from 1 to 36500, "
        "or never.",
    )


def test_the_workers_do_it_once_a_day(
    weekly: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = home / "logs" / "web.log.2020-01-01"
    log.parent.mkdir()
    log.write_text("x")
    assert weekly("worker", "--until-idle").status == 0
    assert not log.exists()
    log.write_text("x")
    assert weekly("worker", "--until-idle").status == 0
    assert log.exists(), "today it has been done"


def test_the_record_says_what_this_installation_is_and_marks_what_it_cannot_know(
    weekly: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weekly("publisher", "edit", "--name", "Baobab | Press", "--jurisdiction", "Nigeria")
    weekly("relay", "add", "swift", "--url", "smtp://relay.example.org:587?tls=required")
    monkeypatch.setenv("MAILER_RETENTION_ATTEMPTS", "14")
    text = weekly("privacy", "record").out
    assert "| Name | Baobab \\| Press |" in text
    assert "| Newsletter Weekly | updates | Updates | consent (article 6 (1) (a)) | 1 |" in text
    assert "14 days from the try" in text
    assert "| swift | relay.example.org |" in text
    assert "| Data protection officer | to be added |" in text
    assert "| TLS to relay swift | yes |" in text
    assert "| keys kept apart | yes |" in text
    assert "| pages over TLS | **no** |" in text
    document = weekly("privacy", "record", "--json").document
    assert document["format"] == "newsroom-mailer/processing-record"
    assert [each["host"] for each in document["recipients"]] == [
        "this machine",
        "relay.example.org",
    ]
    file = tmp_path / "record.md"
    assert weekly("privacy", "record", "--out", str(file)).status == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert weekly("privacy", "record", "--out", str(file)).status == 1


def test_the_record_sees_keys_that_others_may_read(weekly: Command, home: Path) -> None:
    (home / "keys" / "mailer_log_key").chmod(0o644)
    text = weekly("privacy", "record").out
    assert "| keys kept apart | **no** | others may read mailer_log_key in the home |" in text
