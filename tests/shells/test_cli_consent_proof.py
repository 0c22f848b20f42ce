"""`mailer consent prove | verify | checkpoint`, as an operator and as an auditor use them."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import proof_vectors as published
import pytest
from processes import clean_environment
from shells.endings import Command


@pytest.fixture
def proof(weekly: Command) -> Path:
    """A proof of what Amina said."""
    ended = weekly("consent", "prove", "amina@readers.test", "--out", "amina.json")
    assert ended.status == 0, ended.err
    assert "1 event of amina@readers.test, in a log of 1 leaf." in ended.out
    assert Path("amina.json").stat().st_mode & 0o777 == 0o600
    return Path("amina.json")


def test_a_proof_is_written_once_or_printed(weekly: Command, proof: Path) -> None:
    again = weekly("consent", "prove", "amina@readers.test", "--out", str(proof))
    assert (again.status, again.err) == (
        1, f"mailer: {proof} exists already: choose another name.\n",
    )  # fmt: skip
    printed = weekly("consent", "prove", "amina@readers.test")
    assert json.loads(printed.out) == json.loads(proof.read_text("utf-8"))
    nowhere = weekly("consent", "prove", "amina@readers.test", "--out", "no/such/folder.json")
    assert nowhere.status == 1
    assert "choose another place" in nowhere.err
    told = weekly("consent", "prove", "amina@readers.test", "--out", "two.json", "--json")
    assert json.loads(told.out)["events"] == 1


def test_a_proof_is_verified_with_no_installation_and_no_settings(proof: Path) -> None:
    environment = clean_environment(MAILER_NO_SUCH_SETTING="1", MAILER_HOME="/nowhere")
    ended = subprocess.run(
        [sys.executable, "-m", "mailer", "consent", "verify", str(proof.resolve())],
        env=environment, cwd=os.path.sep, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "amina@readers.test" in ended.stdout
    assert "The public key in the file itself was believed." in ended.stderr


def test_a_proof_is_verified_with_the_publishers_key(
    weekly: Command, proof: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = weekly("consent", "checkpoint", "--public-key").out
    Path("log.key").write_text(key, "utf-8")
    for given in (key.strip(), "log.key"):
        ended = weekly("consent", "verify", str(proof), "--public-key", given)
        assert (ended.status, ended.err) == (0, "")
        assert ended.out.startswith("Proved: this is in the consent log 127.0.0.1:8000/consent-log")
    document = json.loads(weekly("consent", "verify", str(proof), "--json").out)
    assert document["valid"] is True
    assert document["key_from_file"] is True
    assert document["events"][0]["personal"]["address"] == "amina@readers.test"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(proof.read_bytes())))
    assert weekly("consent", "verify", "-").status == 0


def test_what_is_wrong_with_a_proof_is_named(mailer: Command) -> None:
    def verify(name: str, *more: str) -> tuple[int, str]:
        ended = mailer("consent", "verify", str(published.FOLDER / f"{name}.json"), *more)
        return ended.status, ended.out + ended.err

    key = ("--public-key", published.KEY)
    for name, words in (
        ("changed-leaf-state", "events[1].leaf.state: leaf.state was changed"),
        ("changed-personal-ip", "events[1].personal.ip: personal.ip was changed"),
        ("path-changed", "events[1]: Leaf, index and path do not lead to the root"),
        ("other-installation", "its origin is press.example.net/consent-log/fedcba9876543210"),
        ("other-key", "is signed by another key"),
        ("no-json", "is no JSON document of ours: Expecting value, line 1, column 1"),
        ("no-state", "events[0].leaf.state: This is missing"),
        ("hostile-size", "is no size"),
        ("forged-wording", "The wording was changed: its hash differs"),
    ):
        given = key if name != "other-key" else ("--public-key", published.STRANGER_KEY)
        status, said = verify(name, *given)
        assert status == 1
        assert words in said
        assert said.count("\n") == 1
    status, said = verify("forged-address", *key, "--json")
    assert (status, json.loads(said)) == (
        1,
        {
            "valid": False, "step": "commitment", "where": "events[1].personal",
            "reason": "The personal part is not the one that the leaf commits to.",
        },
    )  # fmt: skip


def test_files_and_keys_that_are_none_are_named(mailer: Command, tmp_path: Path) -> None:
    whole = str(published.FOLDER / "whole.json")
    (tmp_path / "empty").touch()
    for arguments, words in (
        (("nowhere.json",), "Cannot read nowhere.json"),
        ((str(tmp_path),), "Cannot read"),
        ((whole, "--public-key", "nowhere"), "Cannot read nowhere"),
        ((whole, "--public-key", "a+b+c"), "is no public key of a log"),
        ((whole, "--public-key", str(tmp_path / "empty")), "holds no public key"),
    ):
        ended = mailer("consent", "verify", *arguments)
        assert ended.status == 1
        assert words in ended.err


def test_checkpoints_are_printed_kept_and_verified(weekly: Command, home: Path) -> None:
    made = weekly("consent", "checkpoint")
    assert made.status == 0
    kept = home / "witness" / "checkpoints" / "latest"
    assert made.out == kept.read_text("utf-8")
    assert "keep a copy where nobody can change it" in made.err
    told = json.loads(weekly("consent", "checkpoint", "--json").out)
    assert (told["size"], told["note"]) == (1, made.out)
    verified = weekly("consent", "verify", str(kept), "--public-key", told["public_key"])
    assert verified.out == f"Signed: the consent log {told['origin']} held 1 leaf.\n"
    saved = Path("saved-from-a-mail.txt")
    saved.write_bytes(b"\r\n" + kept.read_bytes().rstrip().replace(b"\n", b"\r\n"))
    again = weekly("consent", "verify", str(saved), "--public-key", told["public_key"])
    assert again.out == verified.out
    assert "add --public-key" in weekly("consent", "verify", str(kept)).err
    stranger = weekly("consent", "verify", str(kept), "--public-key", published.KEY, "--json")
    assert json.loads(stranger.out)["step"] == "origin"
    keys = json.loads(weekly("consent", "checkpoint", "--public-key", "--json").out)
    assert keys == {"origin": told["origin"], "public_keys": [told["public_key"]]}


def test_a_log_that_lost_nothing_is_not_begun_anew(weekly: Command) -> None:
    weekly("consent", "checkpoint")
    assert "Nothing was done" in weekly("consent", "checkpoint", "--begin-anew").err
    refused = weekly("consent", "checkpoint", "--begin-anew", "--yes")
    assert refused.status == 1
    assert "there is nothing to begin anew" in refused.err


def test_what_was_proved_before_the_log_was_begun_anew_verifies_with_the_keys_of_now(
    weekly: Command, proof: Path, home: Path
) -> None:
    with sqlite3.connect(home / "mailer.db") as database:  # a loss
        database.execute("DROP TRIGGER consent_log_refuses_DELETE")
        database.execute("DELETE FROM consent_log")
    assert weekly("consent", "checkpoint", "--begin-anew", "--yes").status == 0
    Path("log.key").write_text(weekly("consent", "checkpoint", "--public-key").out, "utf-8")
    newest, oldest = Path("log.key").read_text("utf-8").splitlines()
    assert newest.partition("+")[0] == f"{oldest.partition('+')[0]}.2"
    assert weekly("consent", "verify", str(proof), "--public-key", "log.key").status == 0


def test_a_checkpoint_is_mailed_to_somebody_outside(weekly: Command) -> None:
    sent = weekly("consent", "checkpoint", "--email", "auditor@outside.test")
    assert sent.status == 0
    assert "is on its way to auditor@outside.test" in sent.err
    assert weekly("consent", "checkpoint", "--email", "nobody").status == 1


def test_a_forged_time_is_shown_as_it_stands(mailer: Command, tmp_path: Path) -> None:
    forged = tmp_path / "forged.json"
    forged.write_bytes(published.dated("9999-99-99T99:99:99.999Z"))
    ended = mailer("consent", "verify", str(forged))
    assert (ended.status, "9999-99-99T99:99:99.999Z" in ended.out) == (0, True)
