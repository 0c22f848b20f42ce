"""`mailer consent audit` as a person uses it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

TAMPERED = "UPDATE subscription SET state = 'left'"


def test_a_sound_installation_gets_a_verdict_and_status_0(weekly):
    ended = weekly("consent", "audit")
    assert ended.status == 0, ended.err
    assert "Looked at 1 consent events, 1 readers" in ended.out
    assert ended.out.endswith("Everything holds.\n")


def test_an_audit_says_where_a_rollback_could_not_be_detected(weekly, tmp_path, monkeypatch):
    assert "The witness folder holds no checkpoint" in weekly("consent", "audit").out
    assert weekly("consent", "checkpoint").status == 0
    assert "stands beside the database" in weekly("consent", "audit").out
    monkeypatch.setenv("MAILER_WITNESS_DIR", str(tmp_path / "elsewhere"))
    assert weekly("consent", "checkpoint").status == 0
    assert "witness" not in weekly("consent", "audit").out


def test_what_is_wrong_is_listed_by_its_row_and_ends_with_status_1(weekly, home):
    _tamper(home)
    ended = weekly("consent", "audit")
    assert ended.status == 1
    assert "Subscriptions that the events do not come to (1):\n  subscription 1/1: It says" in (
        ended.out
    )
    assert "1 findings: docs/how-to/consent-audit.md says what to do." in ended.err
    assert "Everything holds" not in ended.out


def test_scripts_get_one_document(weekly, home):
    document = json.loads(weekly("consent", "audit", "--json").out)
    assert (document["sound"], document["findings"]) == (True, [])
    assert document["looked_at"]["events"] == 1
    _tamper(home)
    ended = weekly("consent", "audit", "--json")
    document = json.loads(ended.out)
    assert ended.status == 1
    assert document["sound"] is False
    assert document["totals"]["subscription"] == 1
    (finding,) = document["findings"]
    assert (finding["kind"], finding["table"], finding["row"]) == (
        "subscription", "subscription", "1/1",
    )  # fmt: skip
    assert (finding["reader"], finding["purpose"]) == (1, "weekly/updates")


def test_of_many_findings_so_many_are_listed_and_all_are_counted(weekly, home):
    for name in ("ben", "cleo"):
        added = weekly(
            "subscriber", "add", "weekly", f"{name}@readers.test", "--purpose", "updates",
            "--source", "paper list",
        )  # fmt: skip
        assert added.status == 0
    _tamper(home)
    out = weekly("consent", "audit", "--most", "2").out
    assert "do not come to (3, 2 of them listed):" in out
    assert out.count("  subscription ") == 2
    document = json.loads(weekly("consent", "audit", "--most", "1", "--json").out)
    assert (document["totals"]["subscription"], len(document["findings"])) == (3, 1)


def test_a_damaged_text_does_not_damage_the_answer(weekly, home):
    with closing(sqlite3.connect(home / "mailer.db")) as connection:
        connection.execute("UPDATE subscription SET state = CAST(x'ff1b5b41' AS TEXT)")
        connection.commit()
    ended = weekly("consent", "audit")
    assert ended.status == 1
    assert "\x1b" not in ended.out
    assert json.loads(weekly("consent", "audit", "--json").out)["totals"]["subscription"] == 1


def _tamper(home):
    with closing(sqlite3.connect(home / "mailer.db")) as connection:
        connection.execute(TAMPERED)
        connection.commit()
