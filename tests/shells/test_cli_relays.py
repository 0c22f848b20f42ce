"""`mailer relay` and `mailer provider`, as a person uses them."""

from __future__ import annotations

import io

import pytest

SECRET = "hunter2-and-more"
URL = f"smtp://user:{SECRET}@127.0.0.1:2525?tls=none"


def test_a_relay_is_added_listed_paused_drained_used_again_and_removed(weekly):
    added = weekly("relay", "add", "ses", "--url", URL, "--lane", "breaking", "--json")
    assert added.document == {
        "name": "ses", "url": "smtp://user@127.0.0.1:2525?tls=none", "kind": "queueing",
    }  # fmt: skip
    rows = weekly("relay", "list", "--json").document
    assert [(row["name"], row["lane"], row["standing"]) for row in rows] == [
        ("default", None, "works"),
        ("ses", "breaking", "works"),
    ]
    for verb, standing in (("pause", "paused"), ("drain", "draining"), ("resume", "works")):
        assert weekly("relay", verb, "ses").status == 0
        assert weekly("relay", "list", "--json").document[1]["standing"] == standing
    assert weekly("relay", "remove", "ses").status == 1
    assert weekly("relay", "remove", "ses", "--yes").status == 0
    assert [row["name"] for row in weekly("relay", "list", "--json").document] == ["default"]


def test_a_relays_password_is_never_shown(weekly, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{URL}\n"))
    ended = [weekly("relay", "add", "ses", "--url", "-")]
    ended += [
        weekly("relay", "list"),
        weekly("relay", "list", "--json"),
        weekly("status", "--json"),
        weekly("doctor"),
        weekly("relay", "add", "other", "--url", URL.replace("127.0.0.1", "mail.example.org")),
        weekly("relay", "add", "worse", "--url", f"smtp://user:{SECRET}@:x"),
    ]
    for each in ended:
        assert SECRET not in each.out + each.err
    assert "relay ses" in ended[4].out
    assert ended[5].status == ended[6].status == 1


def test_the_table_of_relays_says_what_a_warm_up_leaves_for_today(weekly):
    weekly("relay", "add", "fresh", "--url", URL, "--preference", "-1", "--warm-up", "500")
    shown = weekly("relay", "list").out
    assert "left today" in shown
    assert "500" in shown
    assert shown.index("fresh") < shown.index("default")


BAD = {
    ("relay", "add", "ses", "--url", "http://x"): "smtp://host:587",
    ("relay", "add", "ses", "--url", "smtp://u:p#w@host"): "%23",
    ("relay", "add", "ses", "--url", "smtp://host\0.example"): "cannot be read",
    ("relay", "add", "ses", "--url", "smtp://u\x1b[31m:pw@host"): "cannot be read",
    ("relay", "add", "ses", "--url", "smtp://" + "h" * 1_000): "smtp://host:587",
    ("relay", "pause", "a\0b"): "no relay",
    ("provider", "hold", "a\0.test"): "neither a provider",
    ("provider", "release", "\x1b[31m.test"): "neither a provider",
    ("relay", "add", "Ses!", "--url", "smtp://x"): "Ses!",
    ("relay", "add", "ses", "--url", "smtp://x", "--lane", "slow"): "transactional or breaking",
    ("relay", "add", "ses", "--url", "smtp://x", "--kind", "magic"): "queueing or direct",
    ("relay", "add", "ses", "--url", "smtp://x", "--newsletter", "none"): "no newsletter",
    ("relay", "add", "ses", "--url", "smtp://x?max_connections=0"): "max_connections",
    (*("relay", "add", "ses", "--url", "smtp://x"), "--warm-up", "5", "--warm-up-growth", "0.5"): (
        "factor"
    ),
    ("relay", "add", "ses", "--url", "smtp://x", "--warm-up-growth", "2"): "needs --warm-up",
    ("relay", "pause", "nothing"): "there are default",
    ("relay", "remove", "default", "--yes"): "MAILER_SMTP_URL",
    ("provider", "release", "google"): "provider list",
    ("provider", "hold", "not a domain"): "neither a provider",
}  # fmt: skip


@pytest.mark.parametrize("line", BAD)
def test_what_is_wrong_is_said_in_one_line_and_changes_nothing(weekly, line):
    ended = weekly(*line)
    assert ended.status in (1, 2)
    assert BAD[line] in ended.err
    assert "Traceback" not in ended.err
    assert [row["name"] for row in weekly("relay", "list", "--json").document] == ["default"]
    assert weekly("provider", "list", "--json").document == []


def test_a_provider_is_held_and_released_by_any_of_its_domains(weekly):
    assert weekly("provider", "hold", "gmail.com", "--json").document["provider"] == "google"
    (row,) = weekly("provider", "list", "--json").document
    assert (row["provider"], row["held_since"] is not None) == ("google", True)
    released = weekly("provider", "release", "googlemail.com", "--json").document
    assert released == {"provider": "google", "released": 0}
