"""`mailer doctor` asks DNS: a real name server on loopback, and one that is of no help."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from dns_server import running_dns, silent_dns
from verifiers import records_of

from mailer.checking import dns_lookup
from mailer.cli.doctor import dns as checks_dns

DOMAIN = "kassa-weekly.ng"
SPF = b"v=spf1 include:relay.ng ~all"
DMARC = b"v=DMARC1; p=none"


@pytest.fixture
def dispatch(weekly, monkeypatch):
    """An installation whose newsletter writes under a name that can be looked up."""
    assert weekly("newsletter", "edit", "weekly", "--from", f"W <news@{DOMAIN}>").status == 0
    monkeypatch.setattr(dns_lookup, "system_resolver", _nobody_asked)
    return weekly


@pytest.fixture
def ask(dispatch, monkeypatch):
    """Run `mailer doctor` beside a name server of this zone; return its findings by check."""
    with ExitStack() as servers:

        def examined(zone=None):
            served = servers.enter_context(running_dns(zone) if zone is not None else silent_dns())
            monkeypatch.setattr(dns_lookup, "system_resolver", lambda: served)
            return found(dispatch("doctor", "--json"))

        yield examined


@pytest.fixture
def signed(tmp_path, monkeypatch):
    """Sign with two keys; return the texts to publish."""
    keys = {"": ("m1", generate_private_key(65537, 2048)),
            "ED25519_": ("m2", Ed25519PrivateKey.generate())}  # fmt: skip
    for kind, (selector, key) in keys.items():
        path = tmp_path / f"{selector}.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.chmod(0o600)
        monkeypatch.setenv(f"MAILER_DKIM_{kind}SELECTOR", selector)
        monkeypatch.setenv(f"MAILER_DKIM_{kind}KEY_FILE", str(path))
    monkeypatch.setenv("MAILER_DKIM_DOMAIN", DOMAIN)


def found(ended):
    rows = {}
    for row in ended.document:
        rows.setdefault(row["check"], []).append((row["result"], row["says"]))
    return rows


def _strings(text):
    return [text[at : at + 200].encode() for at in range(0, len(text), 200)]


def _nobody_asked():
    raise AssertionError("no test asks DNS beyond loopback")


def test_a_domain_that_is_set_up_is_fine(ask):
    rows = ask({DOMAIN: [b"some-verification=1", SPF], f"_dmarc.{DOMAIN}": [DMARC]})
    assert [result for result, _ in rows["SPF"] + rows["DMARC"]] == ["fine", "fine"]
    assert "DKIM in DNS" not in rows


def test_what_is_missing_is_named_with_what_to_publish(ask):
    rows = ask({})
    ((spf, says_spf),), ((dmarc, says_dmarc),) = rows["SPF"], rows["DMARC"]
    assert (spf, dmarc) == ("WRONG", "WRONG")
    assert "v=spf1" in says_spf
    assert f"_dmarc.{DOMAIN}. IN TXT" in says_dmarc


def test_the_policy_of_the_organisation_counts_for_what_stands_below(dispatch, ask):
    dispatch("newsletter", "edit", "weekly", "--from", f"W <news@mail.{DOMAIN}>")
    rows = ask({f"mail.{DOMAIN}": [SPF], f"_dmarc.{DOMAIN}": [DMARC + b"; sp=reject"]})
    ((result, says),) = rows["DMARC"]
    assert result == "fine"
    assert says == f"for mail.{DOMAIN}, _dmarc.{DOMAIN} asks receivers for reject"


def test_the_keys_in_dns_must_be_ours(ask, signed):
    rows = ask({})
    assert [result for result, _ in rows["DKIM in DNS"]] == ["WRONG", "WRONG"]
    lines = [says.removeprefix("publish in DNS: ") for _, says in rows["DKIM record"]]
    records = records_of(lines)
    # As a zone file has it: one record of several strings, too long for one datagram.
    published = {name: [_strings(f"{text}; n={'x' * 600}")] for name, text in records.items()}
    assert [result for result, _ in ask(published)["DKIM in DNS"]] == ["fine", "fine"]
    m1, m2 = published
    ((first, says), (second, _)) = ask({m1: published[m2], m2: published[m2]})["DKIM in DNS"]
    assert (first, second) == ("WRONG", "fine")
    assert "a key for “ed25519”" in says


def test_a_signature_of_somebody_else_is_named_by_what_dns_says(ask, signed, monkeypatch):
    monkeypatch.setenv("MAILER_DKIM_DOMAIN", "relay.ng")
    ((result, says),) = ask({f"_dmarc.{DOMAIN}": [DMARC], "_dmarc.relay.ng": [DMARC]})["DMARC"]
    assert result == "WRONG"
    assert f"belongs to relay.ng, and {DOMAIN} to {DOMAIN}" in says


def test_hostile_answers_break_nothing(ask):
    hostile = [b"\xff\x00\x1b[31m" * 30, b"", b"v=DMARC1;p=\x1b[31m", b"v=spf1 \xe2\x80\xae"]
    many = [b"%d" % number * 20 for number in range(200)]  # over TCP
    rows = ask({DOMAIN: [*hostile, *many], f"_dmarc.{DOMAIN}": [*hostile, *many]})
    assert [result for result, _ in rows["SPF"] + rows["DMARC"]] == ["WRONG", "WRONG"]
    assert all(says.isprintable() for _, says in rows["SPF"] + rows["DMARC"])


@pytest.mark.parametrize("zone", [None, {DOMAIN: None}], ids=["silent", "failing"])
def test_without_an_answer_nothing_is_wrong_and_that_is_said(ask, monkeypatch, zone):
    monkeypatch.setattr(checks_dns, "SECONDS", 0.3)
    rows = ask(zone)
    ((result, says),) = rows["DNS"]
    assert result == "unknown"
    assert says.startswith(f"{DOMAIN} could not be looked up (no ")
    assert not {"SPF", "DMARC"} & set(rows)


def test_a_domain_that_we_sign_for_and_write_under_is_told_of_once(ask, signed, monkeypatch):
    monkeypatch.setattr(checks_dns, "SECONDS", 0.3)
    assert len(ask()["DNS"]) == 1


def test_what_was_learnt_before_dns_fell_silent_is_told(ask):
    rows = ask({DOMAIN: [SPF], f"_dmarc.{DOMAIN}": None})
    assert [result for result, _ in rows["SPF"] + rows["DNS"]] == ["fine", "unknown"]


def test_a_machine_without_name_servers_is_told(dispatch, monkeypatch):
    def nobody():
        raise dns_lookup.Unanswered("this machine has no name server")

    monkeypatch.setattr(dns_lookup, "system_resolver", nobody)
    ((result, says),) = found(dispatch("doctor", "--json"))["DNS"]
    assert result == "unknown"
    assert "has no name server" in says


def test_names_for_examples_are_not_looked_up(weekly, monkeypatch):
    monkeypatch.setattr(dns_lookup, "system_resolver", _nobody_asked)
    rows = found(weekly("doctor", "--json"))
    assert rows["DNS"] == [
        ("unknown", "example.org is a name for tests and examples: not looked up")
    ]
