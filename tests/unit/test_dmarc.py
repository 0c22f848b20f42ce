"""DMARC by RFC 9989: the walk up the tree, whose policy applies, and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.dmarc import Walk, judge_dmarc

NONE = b"v=DMARC1; p=none"


def walked(domain: str, zone: Mapping[str, bytes | list[bytes]]) -> tuple[Walk, list[str]]:
    """Walk through a zone of names without their `_dmarc.`; return what was asked for, too."""
    walk, asked = Walk(domain), []
    while (name := walk.next()) is not None:
        asked.append(name.removeprefix("_dmarc."))
        found = zone.get(asked[-1], [])
        walk.tell([found] if isinstance(found, bytes) else found)
    return walk, asked


def test_the_walk_asks_eight_times_at_most() -> None:
    _, asked = walked("a.b.c.d.e.f.g.h.i.j.mail.dispatch.ng", {})
    assert asked == [
        "a.b.c.d.e.f.g.h.i.j.mail.dispatch.ng", "g.h.i.j.mail.dispatch.ng",
        "h.i.j.mail.dispatch.ng", "i.j.mail.dispatch.ng", "j.mail.dispatch.ng",
        "mail.dispatch.ng", "dispatch.ng", "ng",
    ]  # fmt: skip
    assert len(walked("a.b.c.d.e.f.g.h", {})[1]) == 8
    assert walked("news.dispatch.ng", {})[1] == ["news.dispatch.ng", "dispatch.ng", "ng"]
    assert walked("ng", {})[1] == ["ng"]


@pytest.mark.parametrize("psd", ["y", "n", "Y"])
def test_the_walk_stops_where_a_record_says_what_stands_above(psd: str) -> None:
    zone = {"dispatch.ng": f"v=DMARC1; p=none; psd={psd}".encode()}
    assert walked("news.dispatch.ng", zone)[1] == ["news.dispatch.ng", "dispatch.ng"]
    assert len(walked("news.dispatch.ng", {"dispatch.ng": NONE + b"; psd=u"})[1]) == 3


@pytest.mark.parametrize(
    ("domain", "zone", "organisation", "policy"),
    [
        ("a.mail.dispatch.ng", {}, "a.mail.dispatch.ng", None),
        (
            "a.mail.dispatch.ng",
            {"mail.dispatch.ng": NONE, "dispatch.ng": NONE},
            "dispatch.ng", "dispatch.ng",
        ),
        (
            "a.mail.dispatch.ng",
            {"mail.dispatch.ng": NONE + b"; psd=n", "dispatch.ng": NONE},
            "mail.dispatch.ng", "mail.dispatch.ng",
        ),
        ("a.mail.dispatch.ng", {"ng": NONE + b"; psd=y"}, "dispatch.ng", "ng"),
        ("ng", {"ng": NONE + b"; psd=y"}, "ng", "ng"),
        (
            "news.dispatch.ng",
            {"news.dispatch.ng": NONE, "dispatch.ng": NONE},
            "dispatch.ng", "news.dispatch.ng",
        ),
        ("news.dispatch.ng", {"news.dispatch.ng": [NONE, NONE], "ng": NONE}, "ng", "ng"),
        ("dispatch.ng", {"dispatch.ng": b"v=DMARC2; p=none"}, "dispatch.ng", None),
        ("dispatch.ng", {"dispatch.ng": b"p=none; v=DMARC1"}, "dispatch.ng", None),
    ],
)  # fmt: skip
def test_whose_domain_and_whose_policy_it_is(
    domain: str, zone: dict[str, bytes | list[bytes]], organisation: str, policy: str | None
) -> None:
    walk, _ = walked(domain, zone)
    assert walk.organisation == organisation
    assert (walk.policy and walk.policy[0]) == policy


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ([], "has no DMARC record, nor has any name above it: publish one"),
        ([NONE, NONE], "holds several records"),
        (b"v=DMARC1", "says no p="),
        (b"v=DMARC1; p=nothing", "says p=“nothing”"),
        (b"v=DMARC1; p=none; sp=x", "says sp=“x”"),
        (b"v=DMARC1; p=reject; np=\x1b[31m\xff", "says np="),
    ],
)
def test_a_record_that_receivers_cannot_use_is_named(
    record: bytes | list[bytes], says: str
) -> None:
    judged = judge_dmarc(walked("dispatch.ng", {"dispatch.ng": record})[0])
    assert not judged.fine
    assert says in judged.says
    assert judged.says.isprintable()


@pytest.mark.parametrize(
    ("zone", "says"),
    [
        ({"news.dispatch.ng": b"v = DMARC1 ; p = Quarantine"}, "asks receivers for quarantine"),
        (
            {"dispatch.ng": b"v=DMARC1; p=reject; sp=none"},
            "dispatch.ng asks receivers for none",
        ),
        ({"dispatch.ng": b"v=DMARC1; p=reject"}, "asks receivers for reject"),
        ({"dispatch.ng": b"v=DMARC1; p=reject; t=y"}, "only tries it out (t=y)"),
        ({"dispatch.ng": b"v=DMARC1;p=none;pct=10;ri=60"}, "pct, ri mean nothing any more"),
    ],
)
def test_a_policy_is_told_in_words(zone: dict[str, bytes | list[bytes]], says: str) -> None:
    judged = judge_dmarc(walked("news.dispatch.ng", zone)[0])
    assert judged.fine
    assert says in judged.says


@pytest.mark.parametrize(
    ("record", "signer", "fine"),
    [
        (NONE, "dispatch.ng", True),
        (NONE, "mail.dispatch.ng", True),
        (NONE, "news.dispatch.ng", True),
        (NONE, "other.ng", False),
        (NONE + b"; psd=n", "mail.dispatch.ng", True),
        (NONE + b"; adkim=s", "news.dispatch.ng", True),
        (NONE + b"; adkim=s", "dispatch.ng", False),
    ],
)
def test_a_signature_goes_with_from_by_what_dns_says(
    record: bytes, signer: str, fine: bool
) -> None:
    zone = {"dispatch.ng": record, "other.ng": NONE}
    ours, theirs = walked("news.dispatch.ng", zone)[0], walked(signer, zone)[0]
    assert judge_dmarc(ours, theirs).fine is fine


@given(st.lists(st.binary(max_size=300), max_size=3))
def test_nothing_that_stands_in_dns_breaks_the_walk(texts: list[bytes]) -> None:
    records = [b"v=DMARC1;" + text for text in texts]
    judged = judge_dmarc(walked("news.dispatch.ng", {"dispatch.ng": records})[0])
    assert judged.says.isprintable()
    assert len(judged.says) < 400
