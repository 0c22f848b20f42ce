"""`mailer privacy erase` as an operator sees it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from shells.endings import refused

AMINA = "amina@readers.test"


def test_erasing_wants_a_yes(weekly):
    refused(
        weekly("privacy", "erase", AMINA),
        f"Everything that is known of {AMINA} is deleted for good. Nothing was done: add --yes to "
        "go on.",
    )
    assert weekly("subscriber", "show", AMINA).status == 0


def test_an_erasure_says_what_it_found_and_is_in_the_audit_trail(weekly, home):
    ended = weekly("privacy", "erase", "1", "--yes")
    assert ended.out == f"{AMINA} (reader 1) is erased. Forgotten: 2 consent events' evidence.\n"
    refused(
        weekly("subscriber", "show", AMINA),
        f"No reader “{AMINA}”: see `mailer subscriber list`, or add them with "
        "`mailer subscriber add`.",
    )
    with closing(sqlite3.connect(home / "mailer.db")) as database:
        acts = database.execute("SELECT action, subscriber_id, details FROM operator_action")
        assert acts.fetchall()[-1] == ("privacy erase", 1, "{}")


def test_erasing_again_says_when_it_was_done(weekly):
    weekly("privacy", "erase", AMINA, "--yes")
    ended = weekly("privacy", "erase", "Amina@READERS.test", "--yes")
    assert ended.status == 0
    assert ended.out.startswith("Amina@readers.test was erased before, on ")
    assert ended.out.endswith("; nothing was left.\n")


def test_an_unknown_address_is_suppressed_all_the_same(weekly):
    ended = weekly("privacy", "erase", "nobody@readers.test", "--yes")
    assert ended.out == "No reader has the address nobody@readers.test; it is suppressed now.\n"
    add = ["subscriber", "add", "weekly", "nobody@readers.test", "--purpose", "updates"]
    ended = weekly(*add, "--source", "a list")
    assert ended.out == "nobody@readers.test: is suppressed: nothing was recorded.\n"


def test_files_of_the_operator_that_still_hold_the_address_are_named(weekly, home):
    kept = home / "backups" / "monday.db"
    kept.parent.mkdir()
    assert weekly("db", "backup", str(kept)).status == 0
    (home / "list.csv").write_text("Email\nAMINA@Readers.test\n", "utf-8")
    (home / "other.csv").write_text("Email\njoe@readers.test\n", "utf-8")
    ended = weekly("privacy", "erase", AMINA, "--yes", "--json")
    assert ended.document["still_in"] == [str(kept), str(home / "list.csv")]
    assert ended.document["finished"]
    assert str(kept) in ended.err
    assert kept.exists()
