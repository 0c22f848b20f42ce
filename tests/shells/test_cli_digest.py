"""Sources, rules, preview, approval and seeds on the command line."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import building as b
import pytest
from shells.endings import Command, refused

ITEM = (
    "<item><title>{title}</title><link>https://{site}.test/{name}</link>"
    "<category>{section}</category><pubDate>{date}</pubDate></item>"
)
RULE = ("--purpose", "updates", "--cron", "0 7 * * FRI")


def feed(title: str, *items: str) -> str:
    return f'<rss version="2.0"><channel><title>{title}</title>{"".join(items)}</channel></rss>'


def item(site: str, name: str, title: str, section: str, hours: int) -> str:
    """Write an entry that is so many hours old."""
    date = format_datetime(b.NOW - timedelta(hours=hours))
    return ITEM.format(site=site, name=name, title=title, section=section, date=date)


@pytest.fixture
def desk(weekly: Command, tmp_path) -> Command:
    """An installation with two feeds; they share a story."""
    story = "The harbour opens again after the storm"
    (tmp_path / "one.xml").write_text(
        feed(
            "One", item("one", "a", story, "Politics", 2),
            item("one", "b", "Elections on Monday", "Politics", 3),
            item("one", "c", "A song contest", "Culture", 4),
        ),
        "utf-8",
    )  # fmt: skip
    (tmp_path / "two.xml").write_text(
        feed("Two", item("two", "a", story.upper(), "News", 1)), "utf-8"
    )
    for line in (
        ["feed", "add", "weekly", "one.xml"],
        ["feed", "add", "weekly", "two.xml", "--name", "The Second", "--section", "Politics"],
        ["feed", "fetch", "weekly"],
        ["digest", "add", "weekly", "friday", *RULE],
    ):
        ended = weekly(*line)
        assert ended.status == 0, ended.err
    return weekly


def why(desk: Command) -> dict[str, tuple[bool, str]]:
    shown = desk("digest", "preview", "weekly", "friday", "--json").document
    return {row["canonical_url"][8:]: (row["in"], row["why"]) for row in shown["articles"]}


def test_a_preview_says_of_every_article_why_it_is_in_or_out(desk: Command, tmp_path) -> None:
    assert why(desk) == {
        "one.test/a": (True, "new"),
        "one.test/b": (True, "new"),
        "one.test/c": (True, "new"),
        "two.test/a": (False, "the same story as 1 (One): it came earlier"),
    }
    table = desk("digest", "preview", "weekly", "friday", "--html", "mail.html")
    assert table.status == 0, table.err
    assert "A run now would send 3 articles." in table.err
    assert "the same story as 1 (One)" in table.out
    assert "Elections on Monday" in (tmp_path / "mail.html").read_text("utf-8")
    again = desk("digest", "preview", "weekly", "friday", "--html", "mail.html")
    refused(again, "mail.html exists already: choose another name, or add --yes.")
    assert desk("campaign", "list", "--json").document == []


def test_rules_are_added_changed_and_taken_away(desk: Command) -> None:
    edit = ("digest", "edit", "weekly", "friday")
    ended = desk(
        *edit, "--section", "Politics=1", "--section", "*=2", "--section-order", "culture,politics",
        "--prefer-source", "The Second", "--max-per-source", "2", "--max-age", "366d", "--json",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    shown = ended.document
    assert (shown["sections"], shown["section_order"]) == (
        {"politics": 1, "*": 2}, ["culture", "politics"],
    )  # fmt: skip
    assert (shown["preferred_sources"], shown["max_per_source"]) == (["The Second"], 2)
    assert shown["max_age_hours"] == 366 * 24
    assert why(desk) == {
        "one.test/c": (True, "new"),
        "two.test/a": (True, "new"),
        "one.test/a": (False, "the same story as 4 (The Second): its source is preferred"),
        "one.test/b": (False, "section Politics has its 1"),
    }
    shown = desk(
        *edit, "--section", "politics=none", "--section", "*=none", "--section-order", "none",
        "--prefer-source", "none", "--max-per-source", "none", "--max-age", "none", "--json",
    ).document  # fmt: skip
    assert (shown["sections"], shown["section_order"], shown["preferred_sources"]) == ({}, [], [])
    assert (shown["max_per_source"], shown["max_age_hours"]) == (None, None)
    plain = desk("digest", "show", "weekly", "friday", "--json").document
    assert shown == plain


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--max-age", "400d"], "“400d” is too long: 366 days are the most."),
        (["--prefer-source", "Nine"], "There is no feed “Nine”: see `mailer feed list weekly`."),
        (["--min-articles", "13"], "A digest holds 1 to 50 articles, and at least as many as its "
         "minimum."),
        (["--approve-by", "boss@news.test", "--approve-within", "1m"],
         "An editor has between 5 minutes and 7 days to approve."),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_followed_are_refused(desk: Command, options, sentence) -> None:
    refused(desk("digest", "edit", "weekly", "friday", *options), sentence)
    refused(desk("digest", "add", "weekly", "other", *RULE, *options), sentence)


@pytest.mark.parametrize(
    "options",
    [["--section", "politics"], ["--section", "politics=many"], ["--max-per-source", "x"], [],
     ["--approve-within", "4h"]],
)  # fmt: skip
def test_what_cannot_be_understood_is_wrong_usage(desk: Command, options) -> None:
    assert desk("digest", "edit", "weekly", "friday", *options).status == 2


def test_an_editor_pins_excludes_and_leads(desk: Command) -> None:
    assert desk("digest", "top", "weekly", "friday", "3").out.strip() == (
        "Article 3 “A song contest” is the top story."
    )
    assert desk("digest", "exclude", "weekly", "friday", "2").status == 0
    assert next(iter(why(desk).items())) == ("one.test/c", (True, "top story"))
    assert why(desk)["one.test/b"] == (False, "excluded by an editor")
    assert desk("digest", "exclude", "weekly", "friday", "2", "--off").status == 0
    assert why(desk)["one.test/b"] == (True, "new")
    refused(
        desk("digest", "pin", "weekly", "friday", "99"),
        "There is no article “99”: see `mailer article list NEWSLETTER`.",
    )


def test_a_digest_with_an_approver_waits_and_is_approved_by_hand(desk: Command) -> None:
    edit = ("digest", "edit", "weekly", "friday", "--approve-by", "boss@news.test")
    assert desk(*edit, "--approve-within", "90m", "--json").document["approve_by"] == (
        "boss@news.test"
    )
    ran = desk("digest", "run", "weekly", "friday", "--json").document
    assert (ran["outcome"], ran["state"], ran["approval"]["decision"]) == ("ran", "draft", "open")
    assert ran["approval"]["asked"] == "boss@news.test"
    (waits,) = desk("status", "--json").document["approvals"]
    assert waits["campaign_id"] == ran["campaign_id"]
    assert "waits for its editor's approval" in desk("campaign", "send", "1").err
    approved = desk("campaign", "approve", "1", "--json").document
    assert (approved["state"], approved["approval"]["decision"]) == ("preparing", "approved")
    assert desk("status", "--json").document["approvals"] == []
    assert desk("digest", "edit", "weekly", "friday", "--approve-by", "none").status == 0
    assert desk("digest", "show", "weekly", "friday", "--json").document["approve_by"] is None


def test_feeds_say_how_they_are(desk: Command, tmp_path) -> None:
    (tmp_path / "one.xml").unlink()
    ended = desk("feed", "fetch", "weekly")
    assert ended.status == 1
    one, two = desk("feed", "list", "weekly", "--json").document
    assert (one["health"], one["articles"], one["failures"]) == ("failing", 3, 1)
    assert "No such file" in one["last_error"]
    assert one["last_success_at"]
    assert one["next_read_at"] > one["failing_since"]
    assert (two["name"], two["health"], two["articles"]) == ("The Second", "fine", 1)
    table = desk("feed", "list", "weekly").out
    assert "failing" in table
    assert desk("feed", "edit", "weekly", "2", "--name", "Second").status == 0
    assert desk("feed", "list", "weekly", "--json").document[1]["name"] == "Second"


def test_seeds_are_added_listed_and_removed(desk: Command) -> None:
    assert desk("seed", "add", "weekly", "Desk@News.test").status == 0
    (row,) = desk("seed", "list", "weekly", "--json").document
    assert row["seed"].lower() == "desk@news.test"
    assert desk("seed", "remove", "weekly", "desk@news.test").status == 0
    assert desk("seed", "list", "weekly", "--json").document == []
    refused(
        desk("seed", "remove", "weekly", "desk@news.test"),
        "desk@news.test is no seed of weekly: see `mailer seed list weekly`.",
    )


def test_a_digest_and_a_campaign_follow_their_readers_clocks(weekly: Command) -> None:
    given = [
        "--purpose",
        "updates",
        "--cron",
        "0 7 * * *",
        "--reader-local-time",
        "--expires",
        "3h",
    ]
    added = weekly("digest", "add", "weekly", "morning", *given, "--json").document
    assert (added["reader_local_time"], added["expires_seconds"]) == (True, 10_800)
    assert added["next_local_at"].endswith("T07:00:00")
    back = weekly(
        "digest", "edit", "weekly", "morning", "--no-reader-local-time", "--json"
    ).document
    assert (back["reader_local_time"], back["next_local_at"]) == (False, None)
    campaign = ["campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hello"]
    Path("page.html").write_text("<p>Good morning</p>", "utf-8")
    made = weekly(*campaign, "--html", "page.html", "--json").document
    order = ["campaign", "schedule", str(made["campaign_id"]), "--reader-local-time", "--at"]
    refused(
        weekly(*order, "2099-12-24T07:00+01:00"),
        "“2099-12-24T07:00+01:00” names one moment, and readers' own time comes at many: leave the "
        "offset out.",
    )
    shown = weekly(*order, "2099-12-24T07:00", "--json").document
    assert (shown["state"], shown["local_at"]) == ("scheduled", "2099-12-24T07:00:00")
