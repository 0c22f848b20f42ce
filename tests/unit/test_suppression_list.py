"""Lists of addresses as files: what every line comes to, and what a broken one costs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailer.domain.addresses import address_hash, parse_address
from mailer.domain.suppression import SuppressionReason
from mailer.domain.suppression_list import Listed, Rejected, key_name, read_suppressions

KEY = b"suppression-key-of-the-tests-0123456789"
HASH = "ab" * 32


def read(text: str | bytes, key: bytes = KEY) -> list[Listed | Rejected]:
    raw = text.encode() if isinstance(text, str) else text
    return list(read_suppressions(raw.splitlines(keepends=True), key))


def hashed(address: str) -> str:
    return address_hash(parse_address(address), KEY)


def listed(found: list[Listed | Rejected]) -> list[tuple[int, str]]:
    return [(each.line, each.hashed) for each in found if isinstance(each, Listed)]


def rejected(found: list[Listed | Rejected]) -> list[tuple[int, str]]:
    return [(each.line, each.why) for each in found if isinstance(each, Rejected)]


def test_one_address_a_line_whatever_its_spelling():
    found = read("\ufeffAngry@Example.org\r\n\r\n  two@example.org \nstraße@example.org")
    assert listed(found) == [
        (1, hashed("angry@example.org")),
        (3, hashed("two@example.org")),
        (4, hashed("straße@example.org")),
    ]


def test_lines_that_cannot_be_used_are_named_and_cost_no_other():
    long = "x" * 20_000
    found = read(
        f"a@example.org\nnobody\nb@example.org\0\n{long}\nc@example.org".encode() + b"\n\xff@x"
    )
    assert listed(found) == [(1, hashed("a@example.org")), (5, hashed("c@example.org"))]
    assert [line for line, _ in rejected(found)] == [2, 3, 4, 6]
    assert rejected(found)[2:] == [(4, "it is too long"), (6, "it is not UTF-8 text")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_another_systems_csv_has_its_column_of_addresses_and_its_own_reasons(delimiter):
    rows = ["First Name", "Email Address", "Reason"], ["Femi", "femi@example.org", "unsubscribed"]
    found = read("\n".join(delimiter.join(row) for row in rows))
    (one,) = found
    assert isinstance(one, Listed)
    assert (one.line, one.hashed) == (2, hashed("femi@example.org"))
    assert (one.reason, one.detail) == (SuppressionReason.OPERATOR, "unsubscribed")


def test_our_own_export_comes_back_with_reason_scope_detail_and_time():
    begins = f"{HASH},,weekly,hard-bounce,\"'=550"
    found = read(
        "address_hash,email,scope,reason,detail,since,key\n"
        f'{begins}\nno ""user"", gone",2026-11-24T09:00:00Z,{key_name(KEY)}\n'
        f"{HASH},a@example.org,all,complaint,,,0000\n"
    )
    first, second = found
    assert first == Listed(
        2, begins, HASH, "weekly", SuppressionReason.HARD_BOUNCE,
        '=550\nno "user", gone', datetime(2026, 11, 24, 9, tzinfo=UTC),
    )  # fmt: skip
    assert isinstance(second, Listed)
    assert second.hashed == hashed("a@example.org")  # the address counts, not a hash beside it


def test_a_hash_that_was_made_with_another_key_is_of_no_use():
    found = read(f"address_hash,email,key\n{HASH},,{key_name(b'other')}\n{HASH},\nzz,,\n")
    assert rejected(found) == [
        (2, "its hash was made with another MAILER_SUPPRESSION_KEY"),
        (3, "its hash was made with another MAILER_SUPPRESSION_KEY"),
        (4, "it names no address, and no hash of one"),
    ]


def test_a_broken_quote_costs_its_own_line_alone():
    lines = [f"r{number}@example.org,fine" for number in range(2, 200)]
    lines[100] = '"r102@example.org,never closed'
    lines[150] = 'r152@example.org,"clo"sed'
    found = read("email,detail\n" + "\n".join(lines))
    assert rejected(found) == [(102, "its quotes are broken"), (152, "its quotes are broken")]
    assert len(listed(found)) == 196
    assert listed(found)[100] == (103, hashed("r103@example.org"))


def test_a_header_alone_and_an_empty_file_are_lists_of_nobody():
    assert read("") == read("\n\n") == read("email\n") == []
