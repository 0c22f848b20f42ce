"""DKIM's settings: what is wrong is told at the start, and doctor says what to publish."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from verifiers import records_of

KINDS = {
    "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "short": ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "ed25519": ["ED25519"],
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Keys as the documentation says to make them."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine, with which the documentation makes keys")
    folder = tmp_path_factory.mktemp("keys")
    for name, kind in KINDS.items():
        path = folder / f"{name}.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", *kind, "-out", path], check=True)
        path.chmod(0o600)
    return {name: folder / f"{name}.pem" for name in KINDS}


@pytest.fixture
def dkim(keys, monkeypatch):
    """Set DKIM up; more settings by the ends of their names."""

    def set_up(**more):
        plain = {"DOMAIN": "example.org", "SELECTOR": "m1", "KEY_FILE": str(keys["rsa"])}
        for name, value in {**plain, **more}.items():
            monkeypatch.setenv(f"MAILER_DKIM_{name}", value)

    return set_up


def found(ended, check):
    return [(row["fine"], row["says"]) for row in ended.document if row["check"] == check]


def test_doctor_says_that_dkim_is_off(weekly):
    assert found(weekly("doctor", "--json"), "DKIM") == [
        (True, "off: the relay signs, or nobody does (docs/how-to/dkim.md)")
    ]


def test_doctor_says_who_signs_and_what_to_publish(weekly, dkim, keys):
    dkim(ED25519_SELECTOR="m2", ED25519_KEY_FILE=str(keys["ed25519"]))
    ended = weekly("doctor", "--json")
    assert found(ended, "DKIM") == [
        (True, "mails are signed for example.org by m1 (rsa, 2048 bits)"),
        (True, "mails are signed for example.org by m2 (ed25519, 256 bits)"),
    ]
    assert found(ended, "DKIM alignment") == [
        (True, "every newsletter's From goes with example.org")
    ]
    lines = [says.removeprefix("publish in DNS: ") for _, says in found(ended, "DKIM record")]
    records = records_of(lines)
    assert set(records) == {"m1._domainkey.example.org", "m2._domainkey.example.org"}
    for name, text in records.items():
        file = keys["rsa" if name.startswith("m1") else "ed25519"]
        shown = subprocess.run(
            ["openssl", "pkey", "-in", file, "-pubout"], check=True, capture_output=True, text=True
        )
        public = "".join(shown.stdout.splitlines()[1:-1])
        assert public.endswith(text.partition("p=")[2])


def test_doctor_names_newsletters_that_write_under_another_domain(weekly, dkim):
    dkim(DOMAIN="other.test")
    ended = weekly("doctor", "--json")
    assert ended.status == 1
    ((fine, says),) = found(ended, "DKIM alignment")
    assert not fine
    assert says.startswith("weekly (example.org): signed for other.test, which does not count")


def test_doctor_wants_longer_keys_and_keys_that_are_ours_alone(weekly, dkim, keys, tmp_path):
    dkim(KEY_FILE=str(keys["short"]))
    ((fine, says),) = found(weekly("doctor", "--json"), "DKIM")
    assert not fine
    assert says.startswith("the RSA key of m1 has 1024 bits")
    shared = tmp_path / "shared.pem"
    shared.write_bytes(keys["rsa"].read_bytes())
    shared.chmod(0o644)
    dkim(KEY_FILE=str(shared))
    ended = weekly("doctor", "--json")
    assert found(ended, "DKIM") == [
        (False, f"everybody may read {shared}: run `chmod o= {shared}`.")
    ]


WRONG = {
    "half of it": (
        {"SELECTOR": ""},
        "MAILER_DKIM_SELECTOR is not set, but MAILER_DKIM_DOMAIN, MAILER_DKIM_KEY_FILE: "
        "set it too, or none of them (see docs/how-to/dkim.md).",
    ),
    "half of the second key": (
        {"ED25519_SELECTOR": "m2"},
        "MAILER_DKIM_ED25519_KEY_FILE is not set, but MAILER_DKIM_DOMAIN, "
        "MAILER_DKIM_ED25519_SELECTOR, MAILER_DKIM_KEY_FILE, MAILER_DKIM_SELECTOR: "
        "set it too, or none of them (see docs/how-to/dkim.md).",
    ),
    "no file": (
        {"KEY_FILE": "/no/such.pem"},
        "MAILER_DKIM_KEY_FILE: cannot read /no/such.pem (No such file or directory): mend the "
        "path, or give the file to the user that runs mailer.",
    ),
    "no key": (
        {"KEY_FILE": __file__},
        f"MAILER_DKIM_KEY_FILE: {__file__} holds no private key that can be used: give a PEM "
        "file, see docs/how-to/dkim.md.",
    ),
    "no domain": (
        {"DOMAIN": "dispätch.example"},
        "MAILER_DKIM_DOMAIN is “dispätch.example”: write a DNS name, such as example.org "
        "(a name outside ASCII in its xn-- form).",
    ),
    "no selector": (
        {"SELECTOR": "m1; l=0"},
        "MAILER_DKIM_SELECTOR is “m1; l=0”: write a DNS name, such as mailer1 "
        "(a name outside ASCII in its xn-- form).",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_told_at_the_start_in_one_sentence(weekly, dkim, case):
    changes, sentence = WRONG[case]
    dkim(**changes)
    ended = weekly("status")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.strip() == f"mailer: {sentence}"
    rows = weekly("doctor", "--json")
    assert found(rows, "DKIM") == [(False, sentence)]
    assert found(rows, "database")[0][0]


def test_keys_of_the_wrong_kind_and_names_of_two_are_refused(weekly, dkim, keys):
    dkim(KEY_FILE=str(keys["ed25519"]))
    assert "holds no RSA key: make one of 2048 bits, see" in weekly("status").err
    dkim(ED25519_SELECTOR="m1", ED25519_KEY_FILE=str(keys["ed25519"]))
    assert "MAILER_DKIM_ED25519_SELECTOR must differ from MAILER_DKIM_SELECTOR" in (
        weekly("status").err
    )
    dkim(ED25519_SELECTOR="m2", ED25519_KEY_FILE=str(keys["rsa"]))
    assert "MAILER_DKIM_ED25519_KEY_FILE: " in weekly("status").err
