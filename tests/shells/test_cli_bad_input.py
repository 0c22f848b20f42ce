"""What cannot be done: one clear line that says what to do, status 1, and nothing half-written."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from shells.endings import refused

TEMPLATES = Path(__file__).parents[2] / "templates" / "email"


def test_bytes_that_are_no_utf8_are_stored_nowhere(weekly):
    ended = weekly("purpose", "add", "weekly", "p9", "--label", "x\udcffy")
    assert ended.status == 1
    assert "is not UTF-8" in ended.err
    assert [row["purpose"] for row in weekly("purpose", "list", "weekly", "--json").document] == [
        "updates"
    ]


@pytest.mark.parametrize("number", ["99999999999999999999999", "²", "0x1"])
@pytest.mark.parametrize("noun", ["newsletter", "campaign", "article", "subscriber"])
def test_an_id_that_is_none_is_not_found(weekly, noun, number):
    ended = weekly(noun, "show", number)
    assert ended.status == 1
    assert len(ended.err.splitlines()) == 1


def test_a_file_without_end_is_not_read_to_its_end(weekly):
    for line in (
        ["notice", "publish", "weekly", "--text-file", "/dev/zero"],
        ["article", "add", "weekly", "/dev/zero"],
    ):
        ended = weekly(*line)
        assert ended.status == 1
        assert "larger than 5 MB" in ended.err


@pytest.mark.parametrize("html", ["<script>x</script>", "<style>p {}</style>", "<p> </p>"])
def test_html_of_which_nothing_is_left_makes_no_campaign(weekly, tmp_path, html):
    (tmp_path / "body.html").write_text(html)
    refused(
        weekly(
            "campaign", "create", "weekly", "--purpose", "updates", "--subject", "x",
            "--html", str(tmp_path / "body.html"),
        ),
        "Of that HTML nothing is left that a mail may hold: no text, no image.",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["a\x1b[31mred", "two\nlines", "x" * 101])
def test_a_name_that_no_header_can_hold_is_refused(weekly, name):
    ended = weekly("subscriber", "edit", "amina@readers.test", "--name", name)
    assert ended.status == 1
    assert "name" in ended.err


def test_an_unknown_newsletter_says_which_there_are(weekly):
    refused(
        weekly("newsletter", "show", "daily"), "There is no newsletter “daily”: there are weekly."
    )


def test_an_address_that_is_none_adds_nobody(weekly):
    ended = weekly(
        "subscriber", "add", "weekly", "nonsense", "--purpose", "updates", "--source", "x"
    )
    refused(ended, "“nonsense” is not an e-mail address: An email address must have an @-sign.")
    assert len(weekly("subscriber", "list", "--json").document) == 1


def test_an_unknown_purpose_adds_nobody(weekly):
    ended = weekly(
        "subscriber", "add", "weekly", "b@readers.test", "--purpose", "sports", "--source", "x"
    )
    refused(ended, "Newsletter weekly has no purpose “sports”: there are updates.")
    assert len(weekly("subscriber", "list", "--json").document) == 1


def test_a_notice_without_purposes_is_refused(weekly, tmp_path):
    weekly("newsletter", "add", "daily", "--name", "Daily", "--from", "d@example.org")
    refused(
        weekly("notice", "publish", "daily", "--text-file", str(tmp_path / "notice.txt")),
        "Newsletter daily has no purposes, so that nobody could agree to anything: add them with "
        "`mailer purpose add daily`.",
    )
    assert weekly("notice", "list", "daily", "--json").document == []


def test_a_file_that_is_not_there_is_named(weekly, tmp_path):
    missing = tmp_path / "missing.txt"
    refused(
        weekly("notice", "publish", "weekly", "--text-file", str(missing)),
        f"Cannot read {missing} (No such file or directory): check the path.",
    )


def test_a_file_that_is_no_feed_is_told_and_kept_on_the_feed(weekly, tmp_path):
    feed = tmp_path / "feed.xml"
    feed.write_text("hello", "utf-8")
    assert weekly("feed", "add", "weekly", str(feed)).status == 0
    ended = weekly("feed", "fetch", "weekly", "--json")
    assert ended.status == 1
    assert ended.document[0]["error"]
    assert "is no feed (RSS, Atom or JSON Feed)" in ended.err.splitlines()[-1]
    assert weekly("article", "list", "weekly", "--json").document == []


def test_a_huge_feed_is_refused_before_it_is_read(weekly, tmp_path):
    feed = tmp_path / "feed.xml"
    with feed.open("wb") as file:
        file.truncate(500_000_000)
    weekly("feed", "add", "weekly", str(feed))
    ended = weekly("feed", "fetch", "weekly")
    assert ended.status == 1
    assert ended.err.splitlines()[-1] == f"mailer: {feed} is larger than 5 MB."


def test_a_page_without_an_article_adds_nothing(weekly, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<html><body><p>Home</p></body></html>", "utf-8")
    ended = weekly("article", "add", "weekly", str(page), "--url", "https://example.org/a")
    assert ended.status == 1
    assert ended.err.splitlines()[-1] == (
        f"mailer: {page} holds no article: give the address of one story, not of a front page."
    )
    assert weekly("article", "list", "weekly", "--json").document == []


def test_a_template_with_an_unknown_variable_makes_no_campaign(weekly, home, tmp_path):
    own = home / "templates" / "mine"
    shutil.copytree(TEMPLATES / "announcement", own)
    (own / "body.txt").write_text("{{ nobody_knows }}", "utf-8")
    letter = tmp_path / "letter.html"
    letter.write_text("<p>Hello</p>", "utf-8")
    ended = weekly(
        *("campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hi"),
        *("--html", str(letter), "--template", "mine"),
    )
    assert ended.status == 1
    assert "nobody_knows" in ended.err.splitlines()[-1]
    assert weekly("campaign", "list", "--json").document == []


@pytest.mark.parametrize("when", ["tomorrow", "2001-01-01T07:00"])
def test_a_time_that_is_none_or_over_schedules_nothing(weekly, tmp_path, when):
    letter = tmp_path / "letter.html"
    letter.write_text("<p>Hello</p>", "utf-8")
    made = weekly(
        *("campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hi"),
        *("--html", str(letter), "--json"),
    ).document
    ended = weekly("campaign", "schedule", str(made["campaign_id"]), "--at", when)
    assert ended.status == 1
    assert ended.err.startswith(f"mailer: “{when}” is ")
    shown = weekly("campaign", "show", str(made["campaign_id"]), "--json").document
    assert shown["state"] == "draft"


@pytest.mark.parametrize(
    "line",
    [
        ["nonsense"],
        ["purpose", "add", "weekly"],
        ["newsletter", "edit", "weekly"],
        ["worker", "--queue", "other"],
        ["campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hi"],
        ["subscriber", "unsubscribe"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_two(weekly, line):
    ended = weekly(*line)
    assert ended.status == 2
    assert "Error:" in ended.err
    assert "Traceback" not in ended.err


def test_a_relay_that_is_down_is_named_and_costs_no_reader_an_attempt(
    weekly, monkeypatch, tmp_path
):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: nothing can answer there
        port = nobody.getsockname()[1]
        monkeypatch.setenv("MAILER_SMTP_URL", f"smtp://127.0.0.1:{port}?tls=none")
        letter = tmp_path / "letter.html"
        letter.write_text("<p>Dear reader</p>", "utf-8")
        create = ["campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hi"]
        assert weekly(*create, "--html", str(letter)).status == 0
        assert weekly("campaign", "send", "1").status == 0
        ended = weekly("worker", "--until-idle")
        status = weekly("status", "--json").document
        (row,) = weekly("campaign", "deliveries", "1", "--json").document
    assert ended.status == 1
    assert "mailer: The relay default fails (no connection: Connection refused)" in ended.err
    assert ended.err.rstrip().endswith("see `mailer doctor`. Mails waiting: 1.")
    assert status["failing_relays"][0]["relay"] == "default"
    assert (row["state"], row["attempts"]) == ("queued", 0)


@pytest.mark.parametrize("over", ["3", "h", "3w", "-3h", "²h", "99d"])
def test_a_duration_that_is_none_starts_nothing(weekly, tmp_path, over):
    (tmp_path / "body.html").write_text("<p>Hello.</p>")
    made = weekly(
        "campaign", "create", "weekly", "--purpose", "updates", "--subject", "x",
        "--html", str(tmp_path / "body.html"), "--json",
    )  # fmt: skip
    number = str(made.document["campaign_id"])
    ended = weekly("campaign", "send", number, f"--over={over}")
    assert ended.status == 1
    assert over in ended.err
    assert weekly("campaign", "show", number, "--json").document["state"] == "draft"
