"""`campaign correct` on the command line: what it says, and who is told."""

from __future__ import annotations

import pytest
from shells.endings import refused
from sink import accepted_by, running_sink


@pytest.fixture
def letter(weekly, tmp_path, monkeypatch):
    """Write a letter and its correction; return the number of a draft."""
    (tmp_path / "letter.html").write_text("<p>Dear reader, it is on 2 May.</p>", "utf-8")
    (tmp_path / "right.html").write_text("<p>Dear reader, it is on 3 May.</p>", "utf-8")
    monkeypatch.chdir(tmp_path)
    made = weekly(
        *("campaign", "create", "weekly", "--purpose", "updates", "--subject", "The fair"),
        *("--html", "letter.html", "--json"),
    )
    return str(made.document["campaign_id"])


def test_who_got_the_wrong_letter_is_counted_and_told_once(weekly, letter, tmp_path, monkeypatch):
    with running_sink(tmp_path / "accepted") as port:
        monkeypatch.setenv("MAILER_SMTP_URL", f"smtp://127.0.0.1:{port}?tls=none")
        weekly("campaign", "send", letter)
        assert weekly("worker", "--until-idle").status == 0
        looked = weekly("campaign", "correct", letter, "--html", "right.html", "--dry-run")
        assert "Nothing was changed (dry run). 1 reader got campaign 1 " in looked.out
        assert weekly("campaign", "show", letter, "--json").document["version"] == 1
        told = weekly(
            *("campaign", "correct", letter, "--html", "right.html", "--subject", "The fair again")
        )
        assert (
            "1 reader got an earlier version. Tell them: `mailer campaign correct 1 --notify "
            '--note "What was wrong"`.'
        ) in told.out
        drafted = weekly(
            *("campaign", "correct", letter, "--notify", "--note", "It is on 3 May.", "--json")
        ).document
        correction = str(drafted["correction_campaign_id"])
        shown = weekly("campaign", "show", correction, "--json").document
        assert shown["subject"] == "Correction: The fair again"
        assert (shown["state"], shown["audience"], shown["corrects"]) == ("draft", 1, 1)
        seen = weekly("campaign", "preview", correction).out
        assert "An earlier version of this mail" in seen
        assert seen.index("It is on 3 May.") < seen.index("Dear reader, it is on 3 May.")
        weekly("campaign", "send", correction)
        assert weekly("worker", "--until-idle").status == 0
        assert accepted_by(tmp_path / "accepted") == {"amina@readers.test": 2}
    report = weekly("campaign", "report", letter, "--json").document
    assert [(each["version"], each["counts"].get("sent", 0)) for each in report["versions"]] == [
        (1, 1),
        (2, 0),
    ]
    shown = weekly("campaign", "report", letter).out
    assert "1 “The fair” (until " in shown
    assert "UTC): 1 sent; 2 “The fair again”: nobody" in shown
    assert weekly("campaign", "deliveries", letter, "--json").document[0]["version"] == 1
    assert "version" in weekly("campaign", "deliveries", letter).out
    history = weekly("subscriber", "history", "amina@readers.test").out
    assert "campaign sent: The fair (version 1, corrected since)" in history
    assert "campaign sent: Correction: The fair again" in history
    mails = weekly("privacy", "export", "amina@readers.test").document["mails"]
    assert [mail["subject"] for mail in mails] == ["The fair", "Correction: The fair again"]
    ended = weekly("campaign", "correct", letter, "--notify")
    assert ended.status == 1
    assert "There is nobody to tell" in ended.err


def test_new_content_with_errors_is_taken_and_said_to_be_held(weekly, letter, tmp_path):
    (tmp_path / "faulty.html").write_text("<p>Dear {{ name }}, it is on 3 May.</p>", "utf-8")
    told = weekly("campaign", "correct", letter, "--html", "faulty.html")
    assert told.status == 0
    assert (
        "It will be held before its first mail. The check found an error. placeholders: "
        "“{{ name }}” looks like a place that nobody filled in. See `mailer campaign check "
        f"{letter}`. Correct it once more.\n"
    ) in told.err
    assert "held" not in weekly("campaign", "correct", letter, "--html", "right.html").err


def test_what_is_to_be_replaced_must_be_said_once(weekly, letter):
    nothing = weekly("campaign", "correct", letter)
    assert nothing.status == 2
    assert "Give what is to be replaced" in nothing.err
    both = weekly("campaign", "correct", letter, "--html", "right.html", "--refresh")
    assert both.status == 2
    assert "Give one of --article, --refresh and --html." in both.err
    refused(
        weekly("campaign", "correct", letter, "--refresh", "--dry-run"),
        f"Campaign {letter} holds no articles: give --html FILE.",
    )
