"""The main job by command: what each verb answers, and what it leaves in the database."""

from __future__ import annotations

import csv
import io

import pytest

from mailer.cli.when import parse_when

FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>
<item><title>The river port opens</title><link>https://news.example.org/port</link>
<description>After two years of repair.</description></item>
<item><title>The night train runs</title><link>https://news.example.org/train</link>
<description>Eleven hours to the coast.</description></item></channel></rss>"""


@pytest.fixture
def with_articles(weekly, tmp_path):
    """Return the installation with a feed of two articles and a digest rule."""
    feed = tmp_path / "feed.xml"
    feed.write_text(FEED, "utf-8")
    weekly("feed", "add", "weekly", str(feed))
    rule = ["--purpose", "updates", "--cron", "0 7 * * FRI"]
    assert weekly("digest", "add", "weekly", "friday", *rule).status == 0
    return weekly


def _letter(weekly, tmp_path):
    letter = tmp_path / "letter.html"
    letter.write_text("<p>Hello, readers of the port.</p>", "utf-8")
    made = weekly(
        *("campaign", "create", "weekly", "--purpose", "updates", "--subject", "A letter"),
        *("--html", str(letter), "--json"),
    )
    return str(made.document["campaign_id"])


def test_init_twice_keeps_the_keys(mailer, home):
    assert mailer("init", "--json").document["fresh"]
    keys = {path.name: path.read_text() for path in (home / "keys").iterdir()}
    assert not mailer("init", "--json").document["fresh"]
    assert {path.name: path.read_text() for path in (home / "keys").iterdir()} == keys


def test_a_digest_run_reads_the_feeds_and_uses_every_article_once(with_articles):
    first = with_articles("digest", "run", "weekly", "friday", "--json")
    assert first.document["outcome"] == "ran"
    assert first.document["state"] == "preparing"
    assert "`mailer worker --queue all`" in first.err  # nobody works here
    again = with_articles("digest", "run", "weekly", "friday", "--json").document
    assert again == {"outcome": "skipped", "reason": "there is no new article"}


def test_a_digest_preview_changes_nothing(with_articles):
    with_articles("feed", "fetch", "weekly")
    before = with_articles("digest", "preview", "weekly", "friday", "--json").document
    assert before["would_send"]
    assert [row["title"] for row in before["articles"]]
    assert with_articles("digest", "preview", "weekly", "friday", "--json").document == before


def test_show_and_report_have_the_promised_fields(weekly, tmp_path):
    campaign = _letter(weekly, tmp_path)
    for verb in ("show", "report"):
        shown = weekly("campaign", verb, campaign, "--json").document
        assert {"campaign_id", "newsletter", "purpose", "subject", "state", "audience"} <= set(
            shown
        )
        assert {"counts", "started_at", "finished_at"} <= set(shown)
        assert (shown["state"], shown["audience"]) == ("draft", 1)


def test_preview_shows_the_letter_in_every_form(weekly, tmp_path):
    campaign = _letter(weekly, tmp_path)
    shown = weekly("campaign", "preview", campaign, "--json").document
    assert "readers of the port" in shown["html"]
    assert "readers of the port" in shown["text"]
    assert shown["subject"] == "A letter"
    assert "Subject: A letter" in weekly("campaign", "preview", campaign).out


def test_a_campaign_goes_its_course_by_command(weekly, tmp_path):
    campaign = _letter(weekly, tmp_path)
    scheduled = weekly("campaign", "schedule", campaign, "--at", "2999-01-01T07:00", "--json")
    assert scheduled.document["state"] == "scheduled"
    assert weekly("campaign", "send", campaign, "--json").document["state"] == "preparing"
    assert weekly("campaign", "pause", campaign, "--json").document["state"] == "paused"
    assert weekly("campaign", "resume", campaign, "--json").document["state"] == "preparing"
    cancelled = weekly("campaign", "cancel", campaign, "--yes", "--json")
    assert cancelled.document["state"] == "cancelled"
    assert weekly("campaign", "send", campaign).status == 1


def test_a_subscriber_shows_where_they_stand(weekly):
    shown = weekly("subscriber", "show", "Amina@readers.test", "--json").document
    assert {"email", "subscriber_id", "locale", "timezone", "state"} <= set(shown)
    assert shown["subscriptions"][0]["newsletter"] == "weekly"
    assert shown["subscriptions"][0]["purpose"] == "updates"
    assert shown["subscriptions"][0]["state"] == "active"
    by_id = weekly("subscriber", "show", str(shown["subscriber_id"]), "--json").document
    assert by_id == shown


def test_who_left_is_not_brought_back_by_command(weekly):
    left = weekly("subscriber", "unsubscribe", "amina@readers.test", "--json").document
    assert left == [{"email": "amina@readers.test", "left": 1}]
    again = weekly(
        *("subscriber", "add", "weekly", "amina@readers.test", "--purpose", "updates"),
        *("--source", "an old list", "--json"),
    ).document
    assert again["subscriptions"][0]["state"] == "left"
    assert "only the reader can come back" in again["outcome"]


def test_consent_is_shown_with_its_source(weekly):
    event = weekly("consent", "show", "amina@readers.test", "--json").document[0]
    assert {"event_id", "at", "purpose", "state", "method", "notice", "evidence"} <= set(event)
    assert (event["state"], event["method"]) == ("given", "cli")
    assert event["evidence"]["source"] == "paper list"


def test_a_suppressed_address_is_not_added(weekly):
    weekly("suppression", "add", "amina@readers.test")
    assert weekly("subscriber", "show", "amina@readers.test", "--json").document["state"] == (
        "suppressed"
    )
    listed = weekly("suppression", "list", "--json").document
    assert [(row["email"], row["scope"]) for row in listed] == [("amina@readers.test", "all")]


def test_an_export_is_a_table_that_no_spreadsheet_runs(weekly):
    weekly("subscriber", "edit", "amina@readers.test", "--name", "=cmd()")
    rows = list(csv.DictReader(io.StringIO(weekly("subscriber", "export", "weekly").out)))
    assert rows[0]["email"] == "amina@readers.test"
    assert rows[0]["name"] == "'=cmd()"
    assert rows[0]["subscriptions"] == "weekly/updates=active"


def test_a_backup_brings_back_what_was_there(weekly, tmp_path):
    copy = tmp_path / "copy.db"
    assert weekly("db", "backup", str(copy)).status == 0
    assert copy.stat().st_mode & 0o077 == 0
    weekly("newsletter", "add", "daily", "--name", "Daily", "--from", "d@example.org")
    assert weekly("db", "restore", str(copy), "--yes").status == 0
    slugs = [row["newsletter"] for row in weekly("newsletter", "list", "--json").document]
    assert slugs == ["weekly"]
    assert weekly("db", "check", "--json").document["problems"] == []


def test_doctor_finds_that_nobody_works(weekly):
    ended = weekly("doctor", "--json")
    assert ended.status == 1
    wrong = {row["check"] for row in ended.document if not row["fine"]}
    assert wrong == {"workers", "relay"}


def test_doctor_wants_https_in_public(weekly, monkeypatch):
    monkeypatch.setenv("MAILER_PUBLIC_URL", "http://news.example.org")
    rows = weekly("doctor", "--json").document
    assert [row["fine"] for row in rows if row["check"] == "public URL"] == [False]


def test_a_time_without_offset_is_the_newsletters_own(tmp_path):
    from datetime import UTC, datetime

    now = datetime(2026, 11, 24, tzinfo=UTC)
    ahead = parse_when("2026-12-24T07:00", "Africa/Lagos", now=now)
    assert ahead == datetime(2026, 12, 24, 6, tzinfo=UTC)
