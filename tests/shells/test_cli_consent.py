"""Consent and wordings on the command line: why we write to somebody, and asking again."""

import json
from datetime import UTC, datetime

import pytest
from schemas import violations
from shells.endings import refused


@pytest.fixture
def reworded(weekly, tmp_path):
    """The installation of `weekly`, with a second wording in force."""
    wording = tmp_path / "second.txt"
    wording.write_text("We write to you every week.\n\n  You can leave.\n", "utf-8")
    assert weekly("notice", "publish", "weekly", "--text-file", str(wording)).status == 0
    return weekly


def test_a_notice_is_shown_word_for_word_with_its_hash_and_what_stands_on_it(reworded):
    ended = reworded("notice", "show", "weekly")
    assert ended.out.endswith("\n\nWe write to you every week.\n\n  You can leave.\n")
    document = reworded("notice", "show", "weekly", "--json").document
    assert document["text"] == "We write to you every week.\n\n  You can leave."
    assert (document["version"], document["consents"], document["superseded_at"]) == (2, 0, None)
    assert document["sha256"] in ended.out
    assert "updates “Updates” (editorial)" in ended.out
    first = reworded("notice", "show", "weekly", "--version", "1", "--json").document
    assert first["superseded_at"] == document["published_at"]


def test_why_we_write_to_somebody_is_one_sentence_of_one_command(weekly):
    shown = weekly("consent", "show", "amina@readers.test").out
    event = weekly("consent", "show", "amina@readers.test", "--json").document[0]
    at = datetime.fromisoformat(event["at"]).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    assert shown.splitlines()[-1] == (
        f"We write to amina@readers.test for weekly/updates since {at}, on their consent, entered "
        "by an operator, source “paper list”, under a wording that is not known."
    )
    assert f"{at}  given: weekly/updates, entered by an operator" in shown
    weekly("subscriber", "unsubscribe", "amina@readers.test")
    assert weekly("consent", "show", "amina@readers.test").out.splitlines()[-1] == (
        "No consent of amina@readers.test stands: no campaign goes there."
    )


def test_an_implied_consent_says_until_when_it_stands(weekly):
    add = ("subscriber", "add", "weekly", "ben@readers.test", "--purpose", "updates")
    ended = weekly(
        *add, "--source", "bought a book", "--basis", "implied", "--valid-for", "2y",
        "--stated-at", "2026-02-28",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    event = weekly("consent", "show", "ben@readers.test", "--json").document[0]
    assert (event["basis"], event["stated_at"], event["valid_until"]) == (
        "implied", "2026-02-28T00:00:00Z", "2028-02-28T00:00:00Z",
    )  # fmt: skip
    sentence = weekly("consent", "show", "ben@readers.test").out.splitlines()[-1]
    assert "on an implied consent" in sentence
    assert sentence.endswith("until 2028-02-28 00:00:00 UTC.")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--basis", "implied", "--valid-for", "1mo", "--stated-at", "2026-01-31"),
            "This implied consent ended on 2026-02-28: nothing was recorded.",
        ),
        (
            ("--basis", "implied", "--valid-for", "two years"),
            "“two years” is no span of time: write it like 180d, 6mo or 2y.",
        ),
        (
            ("--basis", "implied", "--valid-for", "9999y"),
            "“9999y” is too long.",
        ),
        (
            ("--stated-at", "2999-01-01"),
            "“2999-01-01” lies ahead: give the date when it was said.",
        ),
        (
            ("--stated-at", "0202-05-17"),
            "“0202-05-17” lies before 1970: give the date when it was said.",
        ),
        (
            ("--stated-at", "yesterday"),
            "“yesterday” is not a date: write it like 2024-05-17 or 2024-05-17T14:30.",
        ),
    ],
)
def test_a_date_or_span_that_cannot_be_is_named_and_records_nothing(weekly, options, sentence):
    add = ("subscriber", "add", "weekly", "ben@readers.test", "--purpose", "updates")
    refused(weekly(*add, "--source", "a list", *options), sentence)
    assert "ben@readers.test" not in weekly("subscriber", "list", "--json").out


@pytest.mark.parametrize(
    "options", [("--basis", "implied"), ("--valid-for", "2y"), ("--basis", "hope")]
)
def test_a_basis_without_its_end_is_wrong_usage(weekly, options):
    add = ("subscriber", "add", "weekly", "ben@readers.test", "--purpose", "updates")
    assert weekly(*add, "--source", "a list", *options).status == 2


def test_consent_is_exported_by_both_standards_into_a_new_file_of_ones_own(reworded, tmp_path):
    for form, schema in (
        ("27560", "consent-record-27560"), ("kantara", "consent-receipt-kantara"),
    ):  # fmt: skip
        verb = ("consent", "export", "amina@readers.test", "--format", form)
        [found] = reworded(*verb).document
        assert violations(schema, found) == []
        out = tmp_path / f"{form}.json"
        ended = reworded(*verb, "--out", str(out), "--json")
        assert ended.document == {"file": str(out), "documents": 1}
        assert json.loads(out.read_text("utf-8")) == [found]
        assert out.stat().st_mode & 0o777 == 0o600
        refused(reworded(*verb, "--out", str(out)), f"{out} exists already: choose another name.")
    assert reworded("consent", "export", "amina@readers.test", "--format", "pdf").status == 2


def test_readers_are_asked_again_by_a_draft_or_at_once(reworded):
    ended = reworded("notice", "ask", "weekly", "--purpose", "updates", "--until", "2999-01-01")
    assert ended.out.startswith("Campaign 1 asks 1 reader to agree to version 2 (en).")
    preview = reworded("campaign", "preview", "1").out
    assert "  We write to you every week." in preview
    assert "If we do not hear from you by January 1, 2999" in preview
    refused(
        reworded("notice", "ask", "weekly", "--purpose", "updates"),
        "Campaign 1 asks about this wording already: send it to its end, or end it with `mailer "
        "campaign cancel 1`, before you ask others.",
    )
    reworded("campaign", "cancel", "1", "--yes")
    [asked] = reworded(
        "notice", "ask", "weekly", "--purpose", "updates", "--send", "--json"
    ).document
    assert (asked["state"], asked["readers"], asked["notice"]["version"]) == ("preparing", 1, 2)


def test_a_word_that_is_no_evidence_is_named(mailer, monkeypatch):
    monkeypatch.setenv("MAILER_EVIDENCE", "ip,cookies")
    refused(
        mailer("status"),
        "MAILER_EVIDENCE names “cookies”: write ip, user-agent, page, some of them with commas, or "
        "none alone.",
    )
