"""DKIM: what two verifiers that are not ours say of our signatures, and of what was changed."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from verifiers import dkimpy_verdicts, opendkim_verdicts, records_of

from mailer.rendering import (
    CompiledMessage,
    DkimSigner,
    HeaderRefused,
    ReaderValues,
    SignedMessage,
    StaticHeaders,
    compile_message,
    load_template,
)
from mailer.rendering.dkim import relaxed
from mailer.rendering.dkim_keys import KeyRefused, ed25519_key, rsa_key

SENT = datetime(2026, 3, 24, 9, 0, 7, 654321, tzinfo=UTC)
HEADERS = StaticHeaders(
    from_name="The Wéekly",
    from_address="weekly@news.test",
    reply_to="desk@news.test",
    language="en",
    list_id="weekly.news.test",
    list_help_url="https://news.test/n/weekly",
    feedback_id="1:weekly:campaign:news.test",
    auto_submitted=True,
)

SINGLETONS = [
    *("From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type"),
    *("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post"),
]
FIELDS = [
    *SINGLETONS,
    *("Content-Language", "Auto-Submitted", "List-Post", "List-Help", "Feedback-ID"),
]


def pem(key: Any, password: bytes | None = None) -> bytes:
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))


@cache
def rsa_pem(bits: int = 2048) -> bytes:
    return pem(rsa.generate_private_key(65537, bits))


@cache
def signer() -> DkimSigner:
    edwards = ed25519_key("edwards", pem(Ed25519PrivateKey.generate()))
    return DkimSigner("news.test", (rsa_key("mailer1", rsa_pem()), edwards))


@cache
def records() -> dict[str, str]:
    return records_of([key.record("news.test") for key in signer().keys])


@cache
def compiled(
    headers: StaticHeaders = HEADERS, subject: str = "For {{ reader.name }}"
) -> CompiledMessage:
    parts = {
        "subject.txt": subject,
        "preheader.txt": "",
        "body.html": "<p>{{ reader.name }}, <a href='{{ links.unsubscribe }}'>leave</a>.</p>",
        "body.txt": "Hello {{ reader.name }}.\n\nLeave: {{ links.unsubscribe }}\n\n\n",
    }
    with TemporaryDirectory() as folder:
        (Path(folder) / "own").mkdir()
        for name, text in parts.items():
            (Path(folder) / "own" / name).write_text(text, "utf-8")
        return compile_message(load_template("own", Path(folder)), {}, headers, nonce="00ff")


def values(**changes: Any) -> ReaderValues:
    base: dict[str, Any] = {
        "email": "ada@readers.test",
        "name": "Ada",
        "unsubscribe_url": "https://news.test/u/" + "A" * 80,
        "preferences_url": "https://news.test/p/" + "B" * 80,
        "confirm_url": "",
        "message_id": "<1.abc@news.test>",
        "date": SENT,
        "delivery": "1.abc",
    }
    return ReaderValues(**{**base, **changes})


@cache
def variant() -> SignedMessage:
    """One for all tests, as one serves all readers."""
    return SignedMessage(compiled(), signer())


def signed(**changes: Any) -> bytes:
    return variant().personalise(values(**changes))


Verdicts = Callable[[bytes], list[bool]]


@pytest.fixture(params=["dkimpy", "OpenDKIM"])
def verdicts(request: pytest.FixtureRequest, tmp_path: Path) -> Verdicts:
    """A verifier that knows our public keys: one verdict a signature."""
    if request.param == "dkimpy":
        return lambda message: dkimpy_verdicts(message, records())
    return lambda message: opendkim_verdicts(message, records(), tmp_path)


def listed_names(message: bytes) -> list[list[str]]:
    """Return the names in `h=` of each signature."""
    unfolded = message.split(b"\r\n\r\n")[0].replace(b"\r\n ", b"").decode()
    return [
        re.sub(r"\s", "", found).split(":") for found in re.findall(r"(?m)\bh=([^;]*);", unfolded)
    ]


def test_both_signatures_verify(verdicts: Verdicts) -> None:
    assert verdicts(signed()) == [True, True]


def test_a_mail_that_is_no_list_mail_verifies_too(verdicts: Verdicts) -> None:
    headers = StaticHeaders("W", "w@news.test", None, "en")
    message = SignedMessage(compiled(headers, "Please confirm"), signer())
    raw = message.personalise(values())
    assert b"\r\nList-" not in raw
    assert verdicts(raw) == [True, True]


def test_the_signatures_come_first_and_the_mail_follows_as_it_was() -> None:
    raw = signed()
    assert raw.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple;\r\n d=news.test; ")
    assert raw.endswith(compiled().personalise(values()))
    signatures = raw.removesuffix(compiled().personalise(values()))
    assert re.findall(rb"a=(\S+);.*?s=(\S+);", signatures, re.DOTALL) == [
        (b"rsa-sha256", b"mailer1"),
        (b"ed25519-sha256", b"edwards"),
    ]
    assert signatures.count(b"t=%d;" % int(SENT.timestamp())) == 2
    assert b"l=" not in signatures.replace(b"b=", b"").split(b"bh=")[0]
    assert all(len(line) <= 78 for line in signatures.split(b"\r\n"))


def test_both_headers_of_one_click_leaving_are_signed_and_nobody_can_add_a_second() -> None:
    for names in listed_names(signed()):
        assert names.count("List-Unsubscribe") == 2
        assert names.count("List-Unsubscribe-Post") == 2


def test_every_field_is_listed_as_often_as_it_occurs_and_singletons_once_more() -> None:
    header = signed().split(b"\r\n\r\n")[0].decode()
    occurring = re.findall(r"(?m)^([\w-]+):", header)
    assert sorted(occurring) == sorted([*FIELDS, "X-Mailer-Delivery", *["DKIM-Signature"] * 2])
    for names in listed_names(signed()):
        assert sorted(names) == sorted([*FIELDS, *SINGLETONS])


def test_an_encoding_of_the_whole_mail_is_signed_where_there_is_one() -> None:
    form = signer().form([b"From: a@b.test\r\n", b"Content-Transfer-Encoding: 7bit\r\n", "To"])
    assert form.names == ("From", "Content-Transfer-Encoding", "To", *SINGLETONS)
    assert form.own == ("To",)


def test_a_singleton_that_is_not_there_cannot_be_added() -> None:
    message = SignedMessage(compiled(StaticHeaders("W", "w@news.test", None, "en")), signer())
    raw = message.personalise(values())
    assert b"\r\nReply-To:" not in raw
    assert dkimpy_verdicts(raw, records()) == [True, True]
    added = raw.replace(b"\r\nTo: ", b"\r\nReply-To: evil@x.test\r\nTo: ", 1)
    assert dkimpy_verdicts(added, records()) == [False, False]


@pytest.mark.parametrize("name", FIELDS)
def test_a_changed_letter_in_a_signed_field_breaks_the_signatures(
    name: str, verdicts: Verdicts
) -> None:
    raw = signed()
    last = re.search(rf"(?sm)^{name}:.*?(\w)\W*\r\n(?![ \t])".encode(), raw)
    assert last
    at = last.start(1)
    assert verdicts(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]) == [False, False]


@pytest.mark.parametrize("name", SINGLETONS)
@pytest.mark.parametrize("place", ["above", "below"])
def test_a_second_singleton_breaks_the_signatures(
    name: str, place: str, verdicts: Verdicts
) -> None:
    field, raw = f"{name}: <https://evil.test>\r\n".encode(), signed()
    changed = raw.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n", 1)
    # OpenDKIM does not even look at a mail with two senders.
    assert True not in verdicts(field + raw if place == "above" else changed)


def test_spaces_between_the_words_of_a_header_may_change(verdicts: Verdicts) -> None:
    folded = signed().replace(b"\r\nTo: ", b"\r\nTO:\r\n\t ", 1)
    assert verdicts(folded) == [True, True]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_changed_byte_of_the_body_breaks_the_signatures(data: st.DataObject) -> None:
    raw = signed()
    at = data.draw(st.integers(raw.index(b"\r\n\r\n") + 4, len(raw) - 3))
    changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
    assert dkimpy_verdicts(changed, records()) == [False, False]


def test_what_is_cut_off_or_added_at_the_end_breaks_the_signatures(verdicts: Verdicts) -> None:
    assert verdicts(signed() + b"More.\r\n") == [False, False]
    assert verdicts(signed()[:-40]) == [False, False]


@pytest.mark.parametrize("verifier", ["dkimpy", "OpenDKIM"])
@settings(max_examples=60, deadline=None)
@given(name=st.text(max_size=90), local=st.from_regex(r"[a-z.+é]{1,20}", fullmatch=True))
def test_whatever_a_reader_is_called_the_signatures_verify(
    verifier: str, name: str, local: str
) -> None:
    try:
        raw = signed(name=name, email=f"{local}@readers.test")
    except HeaderRefused:
        return
    if verifier == "dkimpy":
        assert dkimpy_verdicts(raw, records()) == [True, True]
        return
    with TemporaryDirectory() as scratch:
        assert opendkim_verdicts(raw, records(), Path(scratch)) == [True, True]


TITLES = st.characters(
    codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"], exclude_characters="{#}"
)


@settings(max_examples=40, deadline=None)
@given(subject=st.text(TITLES, max_size=200))
def test_whatever_the_subject_is_the_signatures_verify(subject: str) -> None:
    raw = SignedMessage(compiled(HEADERS, f"x{subject}"), signer()).personalise(values())
    assert dkimpy_verdicts(raw, records()) == [True, True]


def test_two_readers_have_two_signatures_and_one_reader_has_one() -> None:
    assert signed() == signed()  # neither RSASSA-PKCS1-v1_5 nor Ed25519 rolls dice
    assert signed().split(b"\r\nFrom:")[0] != signed(name="Zoë").split(b"\r\nFrom:")[0]


def test_the_relaxed_form_is_that_of_the_standards_example() -> None:
    """RFC 6376 §3.4.5."""
    assert relaxed(b"A: X\r\n") == b"a:X\r\n"
    assert relaxed(b"B : Y\t\r\n\tZ  \r\n") == b"b:Y Z\r\n"


def test_a_signed_field_that_occurs_twice_is_a_bug() -> None:
    with pytest.raises(ValueError, match="from occurs twice"):
        signer().form([b"From: a@b.test\r\n", b"from: c@d.test\r\n"])


def test_a_body_that_does_not_end_with_one_line_break_is_a_bug() -> None:
    head = b"From: a@b.test\r\n\r\n"
    for end in (b"text", b"text\r\n\r\n", b"text\n"):
        with pytest.raises(ValueError, match="exactly one CRLF"):
            SignedMessage(CompiledMessage((head + end,), ("x",), "a@b.test", "en"), signer())


def test_the_record_is_that_of_the_standards_example() -> None:
    """RFC 8463, appendix A."""
    seed = b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = ed25519_key("brisbane", pem(Ed25519PrivateKey.from_private_bytes(seed)))
    assert key.record("football.example.com") == (
        "brisbane._domainkey.football.example.com. IN TXT "
        '"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="'
    )


def test_a_keys_size_is_known() -> None:
    assert [(key.algorithm, key.bits) for key in signer().keys] == [("rsa", 2048), ("ed25519", 256)]
    assert rsa_key("old", rsa_pem(1024)).bits == 1024


def short_pem() -> bytes:
    """Return an RSA key of 511 bits, from two well-known primes: no library makes one any more."""
    p, q, e = 2**255 - 19, 2**256 - 2**32 - 977, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return pem(numbers.private_key())


def test_what_is_no_key_for_it_is_refused() -> None:
    edwards = pem(Ed25519PrivateKey.generate())
    locked = pem(rsa.generate_private_key(65537, 1024), b"secret")
    for make, content, said in (
        (rsa_key, edwards, "holds no RSA key"),
        (ed25519_key, rsa_pem(), "holds no Ed25519 key"),
        (rsa_key, b"", "holds no private key"),
        (rsa_key, b"\xff\x00" * 50, "holds no private key"),
        (rsa_key, rsa_pem().replace(b"M", b"N"), "holds no private key"),
        (rsa_key, locked, "locked with a password"),
        (rsa_key, short_pem(), "511 bits: make one of 2048 bits"),
    ):
        with pytest.raises(KeyRefused, match=said):
            make("s", content)
