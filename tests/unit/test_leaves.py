"""The leaves of the consent log: their one spelling, their hash, and what they give away."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.leaves import (
    Leaf,
    NoticeRef,
    canonical,
    commitment,
    commitment_key,
    hash_of_leaf,
    instant,
)

LEAF = Leaf(
    event_id="0193600000007000800000000000abcd",
    at=datetime(2026, 11, 24, 9, 0, 0, 123_987, tzinfo=UTC),
    newsletter="weekly",
    purpose="updates",
    reader=7,
    state="given",
    method="confirm",
    basis="consent",
    notice=NoticeRef("ab" * 32, 3, "fr", assumed=False),
    commitment=b"\x01" * 32,
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_json_is_spelled_as_rfc_8785_says(document: dict[str, object]) -> None:
    assert canonical(document) == rfc8785.dumps(document)  # type: ignore[arg-type]


def test_a_leaf_is_spelled_to_the_last_octet() -> None:
    assert canonical(LEAF.document()).decode() == (
        '{"at":"2026-11-24T09:00:00.123Z","basis":"consent","commitment":"' + "01" * 32 + '",'
        '"event_id":"0193600000007000800000000000abcd","method":"confirm","newsletter":"weekly",'
        '"notice":{"assumed":false,"locale":"fr","sha256":"' + "ab" * 32 + '","version":3},'
        '"purpose":"updates","reader":7,"state":"given","stated_at":null,"v":1,'
        '"valid_until":null}'
    )
    assert LEAF.hash == hash_of_leaf(canonical(LEAF.document()))


def test_the_hash_of_a_leaf_is_that_of_rfc_9162() -> None:
    # SHA-256 of the single octet 0x00: the leaf without content
    assert hash_of_leaf(b"").hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )


def test_an_instant_is_the_same_in_every_zone_and_in_both_databases() -> None:
    west = timezone(timedelta(hours=-5))
    moment = datetime(2026, 11, 24, 4, 0, 0, 123_987, tzinfo=west)
    assert instant(moment) == "2026-11-24T09:00:00.123Z"
    kept = moment.replace(microsecond=123_000)  # as SQLite keeps it
    assert replace(LEAF, at=kept.astimezone(UTC)).hash == replace(LEAF, at=moment).hash
    assert instant(datetime(202, 5, 17, tzinfo=UTC)) == "0202-05-17T00:00:00.000Z"


def test_a_commitment_is_worth_nothing_without_its_key_and_opens_no_other_event() -> None:
    personal = {"address": "ada@readers.test", "ip": "192.0.2.7"}
    key, other = commitment_key(b"k" * 32, "event-1"), commitment_key(b"k" * 32, "event-2")
    made = commitment(key, personal)
    assert made != commitment(other, personal)
    assert made != commitment(key, {**personal, "ip": "192.0.2.8"})
    assert made == commitment(key, dict(reversed(personal.items())))
