"""`--canary` on the command line: what is ordered, what is said, and that one run may be enough."""

from __future__ import annotations

import pytest
from sink import accepted_by, running_sink


@pytest.fixture
def letter(weekly, tmp_path):
    """Return a draft's id, of a newsletter with five readers."""
    for name in ("ben", "cleo", "dana", "esi"):
        weekly(
            *("subscriber", "add", "weekly", f"{name}@readers.test"),
            *("--purpose", "updates", "--source", "paper list"),
        )
    body = tmp_path / "letter.html"
    body.write_text("<p>Dear reader</p>", "utf-8")
    made = weekly(
        *("campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hi"),
        *("--html", str(body), "--json"),
    )
    return str(made.document["campaign_id"])


@pytest.fixture
def accepted(monkeypatch, tmp_path):
    """Return the file of a relay that takes everything."""
    file = tmp_path / "accepted"
    with running_sink(file) as port:
        monkeypatch.setenv("MAILER_SMTP_URL", f"smtp://127.0.0.1:{port}?tls=none")
        yield file


NO_SAMPLE = (
    "“{}” is no sample: write a share of the audience such as 1%, or a number of readers such as "
    "500."
)
WRONG = [
    (["--canary", "all"], NO_SAMPLE.format("all")),
    (["--canary", "0"], NO_SAMPLE.format("0")),
    (["--canary", "100%"], NO_SAMPLE.format("100%")),
    (["--canary=-5%"], NO_SAMPLE.format("-5%")),
    (
        ["--canary", "1%", "--canary-limit", "3"],
        "“3” is no limit of a canary: write a share such as 3% or 0.5%.",
    ),
    (
        ["--canary", "1%", "--canary-wait", "soon"],
        "“soon” is no duration: write it like 90m, 3h or 1d.",
    ),
    (
        ["--canary", "1%", "--canary-wait", "30d"],
        "“30d” is too long: 7 days are the most.",
    ),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG, ids=[" ".join(each) for each, _ in WRONG])
@pytest.mark.parametrize("verb", [["send"], ["schedule", "--at", "2999-01-01T07:00"]])
def test_a_canary_that_is_none_starts_nothing(weekly, letter, verb, options, sentence):
    ended = weekly("campaign", verb[0], letter, *verb[1:], *options)
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err == f"mailer: {sentence}\n"
    assert weekly("campaign", "show", letter, "--json").document["state"] == "draft"


def test_a_limit_without_a_sample_is_wrong_usage(weekly, letter):
    ended = weekly("campaign", "send", letter, "--canary-limit", "1%")
    assert ended.status == 2
    assert "--canary-limit and --canary-wait need --canary, such as 1%." in ended.err


def test_a_wait_beyond_the_campaigns_end_is_refused(weekly, letter):
    ended = weekly("campaign", "send", letter, "--canary", "1", "--canary-wait", "4d")
    assert ended.status == 1
    assert "give a shorter --canary-wait." in ended.err
    assert weekly("campaign", "show", letter, "--json").document["state"] == "draft"


def test_a_schedule_shows_its_canary(weekly, letter):
    scheduled = weekly("campaign", "schedule", letter, "--at", "2999-01-01T07:00", "--canary", "1%")
    assert scheduled.out.rstrip().endswith("; canary: 1% of the readers go first.")
    assert weekly("campaign", "show", letter, "--json").document["canary"] == {
        "state": "ordered", "ordered": "1%", "readers": None, "audience": None,
        "limit_percent": 3.0, "wait_seconds": 600, "waits_until": None, "released_at": None,
    }  # fmt: skip


def test_until_idle_does_not_wait_for_a_sample_and_says_so(weekly, letter, accepted):
    sent = weekly("campaign", "send", letter, "--canary", "2", "--json")
    assert sent.document["canary"]["ordered"] == "2"
    ended = weekly("worker", "--until-idle")
    assert ended.status == 0, ended.err
    assert f"Campaign {letter} is held by its canary: 2 of 5 readers, waits until" in ended.err
    assert len(accepted_by(accepted)) == 2
    shown = weekly("campaign", "show", letter, "--json").document
    assert (shown["state"], shown["audience"], shown["counts"]["sent"]) == ("sending", 5, 2)
    assert (shown["canary"]["state"], shown["canary"]["readers"]) == ("waiting", 2)
    assert shown["canary"]["waits_until"]
    assert "2 of 5 readers, waits until" in weekly("campaign", "show", letter).out
    assert "2 of 5 readers, waits until" in weekly("status").out
    cancelled = weekly("campaign", "cancel", letter, "--yes")
    assert cancelled.out.rstrip().endswith("canary: 2 of 5 readers, and nobody else.")


def test_with_no_wait_one_run_reaches_everybody(weekly, letter, accepted):
    weekly("campaign", "send", letter, "--canary", "2", "--canary-wait", "0m")
    ended = weekly("worker", "--until-idle")
    assert ended.status == 0, ended.err
    assert len(accepted_by(accepted)) == 5
    assert set(accepted_by(accepted).values()) == {1}
    shown = weekly("campaign", "show", letter, "--json").document
    assert (shown["state"], shown["counts"]["sent"]) == ("finished", 5)
    assert "2 of 5 readers first, all since" in weekly("campaign", "show", letter).out


def test_a_campaign_without_a_canary_says_nothing_of_it(weekly, letter):
    assert weekly("campaign", "send", letter, "--json").document["canary"] is None
    assert "canary" not in weekly("campaign", "pause", letter).out
