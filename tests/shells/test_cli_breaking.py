"""Breaking news: one command from a page to mails that go before all others."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from shells.endings import STORY, Command, refused

from mailer.domain.deliveries import Lane

BREAKING = ("campaign", "breaking", "weekly", "story.html", "--purpose", "updates")


@pytest.fixture
def newsroom(weekly: Command) -> Command:
    """An installation in which a letter is being sent; and a page."""
    Path("story.html").write_text(STORY, "utf-8")
    Path("letter.html").write_text("<p>A letter to all readers.</p>", "utf-8")
    for line in (
        ["campaign", "create", "weekly", "--purpose", "updates", "--subject", "A letter",
         "--html", "letter.html"],
        ["campaign", "send", "1"],
    ):  # fmt: skip
        ended = weekly(*line)
        assert ended.status == 0, ended.err
    return weekly


def test_a_story_goes_out_at_once_and_before_what_was_sent_earlier(
    newsroom: Command, home: Path
) -> None:
    sent = newsroom(*BREAKING, "--yes", "--json").document
    assert (sent["subject"], sent["state"]) == ("The river is rising", "preparing")
    with closing(sqlite3.connect(home / "mailer.db")) as database:
        lanes = database.execute("SELECT lane FROM campaign ORDER BY id").fetchall()
    assert lanes == [(Lane.REGULAR,), (Lane.BREAKING,)]  # which is what workers go by
    shown = newsroom("campaign", "preview", "2", "--text").out
    assert "Two districts were told to leave before night." in shown


def test_without_a_yes_it_stays_a_draft(newsroom: Command) -> None:
    refused(
        newsroom(*BREAKING, "--subject", "Flood"),
        "“Flood” goes to 1 reader now, before all other mails. It is campaign 2, a draft so far. "
        "Nothing was done: add --yes to go on.",
    )
    assert newsroom("campaign", "show", "2", "--json").document["state"] == "draft"


def test_a_page_without_a_story_is_refused_before_there_is_a_campaign(newsroom: Command) -> None:
    Path("story.html").write_text("<p></p>", "utf-8")
    assert newsroom(*BREAKING, "--yes").status == 1
    assert len(newsroom("campaign", "list", "--json").document) == 1
