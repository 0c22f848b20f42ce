"""CSV cells that no spreadsheet computes, and that come back as they were."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailer.domain.csv_cells import neutral, restored

NAMES = [
    "=cmd|' /C calc'!A0", "+2348012345678", "-", "@x", "\t=1+1", "\r=1", "\n=1", "\0=1", "＝1",
    "'=1", "''=1", "'tis", "it's", "=", "", "'", 'say "=1"', "a;=1", "a;'=1", "a\t@b", "a\n-b",
    "a\r\n+b", "\u202e=1\u202c", "\u0645\u0631\u062d\u0628\u0627", ";", ";;=", "=\t=;-\n'+", "a,=b",
]  # fmt: skip
COMPUTED = re.compile(r"^[=+\-@＝＋－＠]|[;\t\r\n\0][=+\-@＝＋－＠]|^[\t\r\n\0]")


@pytest.mark.parametrize("name", NAMES)
def test_every_name_goes_through_a_csv_file_and_comes_back_whole(name):
    file = io.StringIO(newline="")
    csv.writer(file).writerow([neutral(name), "last"])
    file.seek(0)
    (row,) = csv.reader(file)
    assert [restored(cell) for cell in row] == [name, "last"]
    assert not COMPUTED.search(row[0])


@given(st.text(alphabet="'=+-@;\t\r\n\0＝a,\""))
@example("'\t'=")
def test_whatever_it_is_it_comes_back_and_is_not_computed(text):
    assert restored(neutral(text)) == text
    assert not COMPUTED.search(neutral(text))


@given(st.text(alphabet="'=;\ta"))
def test_two_names_never_become_one_cell(text):
    """What is neutral already gets another apostrophe, so that nobody can forge a cell."""
    assert restored(neutral(neutral(text))) == neutral(text)


def test_what_needs_nothing_is_left_alone():
    for text in ("Amina Okafor", "O'Brien", "a-b", "x=y", "amina@example.org", "7", "'quoted'"):
        assert neutral(text) == restored(text) == text
