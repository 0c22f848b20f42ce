"""The search for a person finds them in every spelling, or the tests that use it prove nothing."""

import base64
import email.charset
import json
import quopri
import sqlite3
from email.header import Header
from urllib.parse import quote, quote_plus

import pytest
from spellings import Search, wire

NAME = "Zoë Ñandú-Okonkwo"
ADDRESS = "Zoë.Ñandú+news@bücher.test"
SEARCH = Search({"name": NAME, "address": ADDRESS, "wire": wire(ADDRESS)})


@pytest.mark.parametrize(
    "content",
    [
        f"… {NAME} …".encode(),
        NAME.upper().encode(),
        NAME.lower().encode(),
        NAME.encode("utf-16-le"),
        NAME.encode("latin-1"),
        NAME.encode().hex().encode(),
        json.dumps({"name": NAME}).encode(),
        json.dumps(json.dumps({"name": NAME})).encode(),
        repr(NAME.encode()).encode(),
        quote(NAME).encode(),
        quote_plus(NAME.lower()).encode(),
        quopri.encodestring(f"{'x' * 70} {NAME}".encode()),
        Header(NAME, email.charset.Charset("utf-8")).encode().encode(),
        base64.b64encode(f"{NAME}".encode()),
        base64.b64encode(f"x{NAME}y".encode()),
        base64.urlsafe_b64encode(f"xy{NAME}z".encode()),
        base64.encodebytes(b"\0" * 50 + NAME.encode()),
    ],
)
def test_a_name_is_found_however_it_is_written(content: bytes) -> None:
    assert "name" in SEARCH.found(b"before " + content + b" after")


def test_an_address_is_found_with_its_domain_in_unicode_or_in_ascii() -> None:
    assert "address" in SEARCH.found(f"<{ADDRESS.lower()}>".encode())
    assert "wire" in SEARCH.found("RCPT TO:<Zoë.Ñandú+news@XN--BCHER-KVA.TEST>".encode())


def test_nobody_else_is_found() -> None:
    others = b"Zoe Nandu, Zo\xc3\xab \xc3\x91and\xc3\xba-Okonk, zoe.nandu@b\xc3\xbccher.test"
    assert SEARCH.found(others + sqlite3.sqlite_version.encode()) == {}
