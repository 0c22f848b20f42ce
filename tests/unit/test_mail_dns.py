"""SPF and DKIM keys, judged by what stands in DNS."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.mail_dns import is_reserved, judge_dkim_key, judge_spf

KEY = b64encode(b"a public key").decode()
OTHER = b64encode(b"somebody else's").decode()
NAME = "m1._domainkey.dispatch.ng"


@pytest.mark.parametrize(
    ("domain", "reserved"),
    [
        ("test", True), ("news.test", True), ("a.b.EXAMPLE.", True), ("x.invalid", True),
        ("localhost", True), ("example.org", True), ("news.example.com", True),
        ("test.ng", False), ("myexample.com", False), ("example.ng", False), ("contest", False),
    ],
)  # fmt: skip
def test_names_for_tests_and_examples_are_known(domain: str, reserved: bool) -> None:
    assert is_reserved(domain) is reserved


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([], "has no SPF record: publish one"),
        ([b"google-site-verification=x", b"v=spf10 mx"], "has no SPF record"),
        ([b"v=spf1 mx ~all", b"v=spf1 a -all"], "has 2 SPF records"),
        ([b"v=spf1 include:\xc3\xbc.ng ~all"], "is not ASCII"),
        ([b"v=spf1 mx +all"], "lets everybody send"),
        ([b"v=spf1 ALL"], "lets everybody send"),
        ([b"v=spf1 -all"], "sends no mail at all"),
        ([b"v=spf1 " + b" ".join(b"include:%d.ng" % each for each in range(11))], "ask DNS 11"),
        ([b"v=spf1 a mx ptr " + b"exists:x.ng " * 7 + b"redirect=y.ng"], "ask DNS 11 times"),
    ],
)
def test_an_spf_record_that_does_not_work_is_named(texts: list[bytes], says: str) -> None:
    judged = judge_spf("dispatch.ng", texts)
    assert not judged.fine
    assert says in judged.says


@pytest.mark.parametrize(
    "text",
    [
        b"v=spf1", b"V=SPF1 mx -all", b"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?all",
        b"v=spf1 " + b"ip4:192.0.2.1 " * 30 + b"include:relay.ng ~all",
        b"v=spf1 redirect=_spf.relay.ng",
    ],
)  # fmt: skip
def test_one_record_that_names_somebody_is_fine(text: bytes) -> None:
    assert judge_spf("dispatch.ng", [b"something else", text]).fine


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([], "holds no key: publish the line"),
        ([f"v=DKIM1; p={KEY}".encode(), b"v=DKIM1; p="], "holds 2 records"),
        ([f"v=DKIM1; p={OTHER}".encode()], "public key of another private key"),
        ([b"v=DKIM1; p=%%%"], "public key of another private key"),
        ([b"v=DKIM1; k=rsa"], "no p="),
        ([b"v=DKIM1; p="], "revoked"),
        ([f"v=DKIM2; p={KEY}".encode()], "of version “DKIM2”"),
        ([f"p={KEY}; v=DKIM1".encode()], "v=DKIM1 must stand first"),
        ([f"v=DKIM1; k=ed25519; p={KEY}".encode()], "a key for “ed25519”, and ours is for rsa"),
        ([f"v=DKIM1; h=sha1; p={KEY}".encode()], "other hashes"),
        ([f"v=DKIM1; s=tlsrpt; p={KEY}".encode()], "is not for mail"),
        ([b"\xff\xfe;=;;p"], "no p="),
    ],
)
def test_a_key_record_that_does_not_verify_us_is_named(texts: list[bytes], says: str) -> None:
    judged = judge_dkim_key(NAME, texts, "rsa", KEY)
    assert not judged.fine
    assert says in judged.says


@pytest.mark.parametrize(
    "text",
    [f"v=DKIM1; k=rsa; p={KEY}", f"p={KEY}", f" v=DKIM1 ;\tp = {KEY[:5]} {KEY[5:]} ; n=x=y;",
     f"v=DKIM1; h=sha1 : sha256; s=email; p={KEY}", f"v=DKIM1; p={KEY}; p={OTHER}"],
)  # fmt: skip
def test_our_key_in_any_spelling_is_fine(text: str) -> None:
    assert judge_dkim_key(NAME, [text.encode()], "rsa", KEY).fine


def test_a_key_that_is_only_tried_out_is_told() -> None:
    judged = judge_dkim_key(NAME, [f"v=DKIM1; t=y:s; p={KEY}".encode()], "rsa", KEY)
    assert judged.fine
    assert "t=y" in judged.says


@given(st.lists(st.binary(max_size=300), max_size=3))
def test_nothing_that_stands_in_dns_breaks_the_judge_or_the_terminal(texts: list[bytes]) -> None:
    records = [b"v=DKIM1; " + text for text in texts]
    for judged in (judge_spf("x.ng", texts), judge_dkim_key(NAME, records, "rsa", KEY)):
        assert judged.says.isprintable()
        assert len(judged.says) < 300
