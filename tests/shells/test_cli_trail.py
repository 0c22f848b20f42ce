"""The audit trail: whatever an operator does to people leaves a line, and no verb is forgotten."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest
from shells.endings import STORY, Command
from sqlalchemy import Engine, event

from mailer.cli.reference import commands
from mailer.domain.acts import VERBS, Touch
from mailer.settings import load

TREE = {
    " ".join(path[1:]) for path, context in commands() if not hasattr(context.command, "commands")
}
NOTED = sorted(verb for verb, touch in VERBS.items() if touch is not Touch.NOBODY)

ACTS: dict[str, list[list[str]]] = {
    "subscriber add": [["weekly", "femi@readers.test", "--purpose", "updates", "--source", "x"]],
    "subscriber import": [["weekly", "list.csv", "--purpose", "updates", "--source", "x"]],
    "subscriber edit": [["amina@readers.test", "--name", "Amina Okafor"]],
    "subscriber unsubscribe": [["amina@readers.test", "--newsletter", "weekly"]],
    "subscriber export": [["weekly"], ["weekly", "--out", "readers.csv"], ["weekly", "--json"]],
    "subscriber list": [["weekly"], ["--json"]],
    "subscriber show": [["amina@readers.test"]],
    "subscriber history": [["amina@readers.test"]],
    "suppression add": [["amina@readers.test"], ["nobody@readers.test"]],
    "suppression remove": [["angry@readers.test", "--yes"]],
    "suppression import": [["angry.txt"]],
    "suppression export": [[], ["--out", "listed.csv"], ["--json"]],
    "suppression list": [[]],
    "consent show": [["amina@readers.test"]],
    "consent export": [["amina@readers.test", "--format", "kantara"]],
    "consent prove": [["amina@readers.test"], ["1", "--out", "amina.proof.json"]],
    "notice ask": [["weekly", "--purpose", "updates"]],
    "campaign test": [["1", "--to", "desk@news.test"]],
    "campaign send": [["1"]],
    "campaign breaking": [["weekly", "story.html", "--purpose", "updates", "--yes"]],
    "campaign schedule": [["1", "--at", "2999-01-01T07:00"]],
    "campaign pause": [["2"]],
    "campaign correct": [["2", "--subject", "Another letter"], ["2", "--dry-run"]],
    "campaign resume": [["3"]],
    "campaign cancel": [["2", "--yes"]],
    "campaign retry": [["3"]],
    "campaign reconcile": [["3", "--presume", "sent"], ["3", "--presume", "resend", "--yes"]],
    "campaign deliveries": [["2"]],
    "campaign preview": [["1", "--as", "amina@readers.test"]],
    "digest add": [["weekly", "monday", "--purpose", "updates", "--cron", "0 7 * * MON"]],
    "digest run": [["weekly", "friday"]],
    "digest edit": [["weekly", "friday", "--max-articles", "5", "--approve-by", "boss@news.test"]],
    "digest pin": [["weekly", "friday", "1"], ["weekly", "friday", "1", "--off"]],
    "digest exclude": [["weekly", "friday", "1"]],
    "digest top": [["weekly", "friday", "1"]],
    "campaign approve": [["4"]],
    "seed add": [["weekly", "desk@news.test"]],
    "seed list": [["weekly"]],
    "seed remove": [["weekly", "desk@news.test"]],
    "digest pause": [["weekly", "friday"]],
    "digest resume": [["weekly", "friday"]],
    "digest remove": [["weekly", "friday", "--yes"]],
    "topic remove": [["weekly", "sport", "--yes"]],
    "provider hold": [["gmail.com"]],
    "provider release": [["example.org"]],
    "privacy erase": [["amina@readers.test", "--yes"]],
    "privacy export": [["amina@readers.test"], ["1", "--html", "--out", "amina.html"]],
    "privacy retention": [[]],
    "db backup": [["copy.db"]],
    "db restore": [["older.db", "--yes"]],
    "db resume": [["--yes"]],
    "publisher trail": [[], ["--reader", "amina@readers.test"]],
}
APPROVED = ["digest", "edit", "weekly", "friday", "--approve-by", "boss@news.test"]
BEFORE = {
    "db resume": [["db", "restore", "older.db", "--yes"]],
    "notice ask": [
        ["notice", "publish", "weekly", "--locale", "en", "--text-file", "wording.txt"],
    ],
    "campaign approve": [APPROVED, ["digest", "run", "weekly", "friday"]],
    "seed remove": [["seed", "add", "weekly", "desk@news.test"]],
    "topic remove": [["topic", "add", "weekly", "sport", "--label", "Sport"]],
}
"""What makes that there is something to do."""


@pytest.fixture
def desk(weekly: Command, tmp_path, monkeypatch) -> Command:
    """An installation in which every verb has something to do: work here as `amina.desk`."""
    (tmp_path / "letter.html").write_text("<p>Hello, readers of the port.</p>", "utf-8")
    (tmp_path / "story.html").write_text(STORY, "utf-8")
    (tmp_path / "angry.txt").write_text("one@readers.test\namina@readers.test\n", "utf-8")
    (tmp_path / "wording.txt").write_text("Other words than those of before.", "utf-8")
    (tmp_path / "list.csv").write_text("email\nfemi@readers.test\n", "utf-8")
    (tmp_path / "feed.xml").write_text(
        '<?xml version="1.0"?><rss version="2.0"><channel><title>News</title><item><title>Port'
        "</title><link>https://news.example.org/port</link></item></channel></rss>",
        "utf-8",
    )
    create = ["campaign", "create", "weekly", "--purpose", "updates", "--subject", "A letter"]
    for line in (
        *[[*create, "--html", "letter.html"]] * 3,
        ["campaign", "send", "2"],
        ["campaign", "send", "3"],
        ["campaign", "pause", "3"],
        ["feed", "add", "weekly", "feed.xml"],
        ["feed", "fetch", "weekly"],
        [*("digest", "add", "weekly", "friday"), *("--purpose", "updates", "--cron", "0 7 * * 5")],
        ["suppression", "add", "angry@readers.test"],
        ["provider", "hold", "example.org"],
        ["db", "backup", "older.db"],
    ):
        ended = weekly(*line)
        assert ended.status == 0, (line, ended.err)
    monkeypatch.setenv("MAILER_OPERATOR", "Amina, night desk")
    return weekly


def test_every_verb_is_in_the_table_and_every_noted_one_is_tried_here():
    assert set(VERBS) == TREE
    assert sorted(ACTS) == NOTED


@pytest.mark.parametrize("verb", NOTED)
def test_what_touches_people_leaves_a_line_with_who_when_and_what(desk, home, verb):
    for line in BEFORE.get(verb, []):
        ended = desk(*line)
        assert ended.status == 0, ended.err
    for arguments in ACTS[verb]:
        ended = desk(*verb.split(), *arguments)
        assert ended.status == 0, ended.err
        with closing(sqlite3.connect(home / "mailer.db")) as database:
            who, what, at, details = database.execute(
                "SELECT operator, action, at, details FROM operator_action ORDER BY id DESC LIMIT 1"
            ).fetchone()
            everything = " ".join(
                details for (details,) in database.execute("SELECT details FROM operator_action")
            )
        assert (who, what) == ("Amina, night desk", verb)
        assert at
        assert "readers.test" not in everything
        assert "news.test" not in everything
        assert "@" not in details


def test_what_touches_nobody_leaves_no_line(desk, home):
    for line in ("newsletter list", "campaign list", "campaign show 1", "campaign preview 1",
                 "status", "purpose list weekly", "notice list weekly", "relay list"):  # fmt: skip
        assert desk(*line.split()).status == 0, line
    assert all(
        row["operator"] != "Amina, night desk"
        for row in desk("publisher", "trail", "--json").document
    )


def test_an_act_that_is_refused_leaves_no_line(desk):
    assert desk("campaign", "resume", "1").status == 1
    assert desk("suppression", "remove", "nobody@readers.test", "--yes").status == 1
    assert desk("subscriber", "show", "nobody@readers.test").status == 1
    rows = desk("publisher", "trail", "--json").document
    assert [row["action"] for row in rows if row["operator"] == "Amina, night desk"] == []


def test_the_trail_is_read_newest_first_and_page_by_page(desk):
    everything = desk("publisher", "trail", "--json").document
    assert [row["id"] for row in everything] == sorted(
        (row["id"] for row in everything), reverse=True
    )
    page = desk("publisher", "trail", "--limit", "3")
    assert f"add --before {everything[1]['id']}" in page.err  # one look has been noted since
    older = desk("publisher", "trail", "--before", str(everything[1]["id"]), "--json").document
    assert older == everything[2:]
    assert desk("publisher", "trail", "--since", "2999-01-01", "--json").document == []
    assert len(desk("publisher", "trail", "--since", "1d", "--json").document) > len(everything)
    assert desk("publisher", "trail", "--since", "soon").status == 1


def test_the_trail_of_one_reader_is_found_by_address_by_id_and_by_hash(desk):
    desk("subscriber", "edit", "amina@readers.test", "--name", "A")
    desk("campaign", "test", "1", "--to", "desk@news.test")
    reader = desk("subscriber", "show", "amina@readers.test", "--json").document["subscriber_id"]

    def trail(who):
        rows = desk("publisher", "trail", "--reader", who, "--json").document
        return [row["action"] for row in rows if row["action"] != "publisher trail"]

    assert trail("Amina@readers.test") == ["subscriber show", "subscriber edit", "subscriber add"]
    assert trail(str(reader)) == trail("amina@readers.test")
    assert trail("desk@news.test") == ["campaign test"]
    assert trail("nobody@readers.test") == []


def test_a_readers_history_tells_what_operators_did_and_not_who_looked(desk):
    desk("subscriber", "edit", "amina@readers.test", "--locale", "fr")
    desk("subscriber", "show", "amina@readers.test")
    rows = desk("subscriber", "history", "amina@readers.test", "--json").document
    told = [row["what"] for row in rows if row["kind"] == "operator"]
    assert told[0].startswith("subscriber add by ")
    assert told[1:] == ["subscriber edit by Amina, night desk"]


def test_looking_does_not_wait_for_a_writer_and_says_that_it_is_not_noted(desk, home):
    with closing(sqlite3.connect(home / "mailer.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        ended = desk("subscriber", "show", "amina@readers.test", "--json")
    assert ended.status == 0
    assert ended.document["email"] == "amina@readers.test"
    assert ended.err == "This look is not in the audit trail: database is locked.\n"


def test_looking_works_in_a_database_that_can_only_be_read_and_taking_out_does_not(desk, request):
    def read_only(connection, _):
        connection.execute("PRAGMA query_only=ON")

    event.listen(Engine, "connect", read_only)
    request.addfinalizer(lambda: event.remove(Engine, "connect", read_only))
    ended = desk("subscriber", "history", "amina@readers.test", "--json")
    assert (ended.status, len(ended.document)) == (0, 2)
    assert "This look is not in the audit trail: attempt to write a readonly" in ended.err
    taken = desk("subscriber", "export", "weekly")
    assert (taken.status, taken.out) == (1, "")


def test_the_operator_is_who_is_behind_sudo_and_a_number_where_there_is_no_name(
    tmp_path, monkeypatch
):
    assert load({"SUDO_USER": "femi"}, tmp_path).operator.startswith("femi@")
    assert load({"MAILER_OPERATOR": "the desk", "SUDO_USER": "femi"}, tmp_path).operator == (
        "the desk"
    )

    def nameless():
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert load({}, tmp_path).operator.startswith(f"uid {os.getuid()}@")
