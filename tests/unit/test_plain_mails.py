"""The text part, as a person would have typed it."""

from __future__ import annotations

import re
import unicodedata

import pytest
from golden.mails import LOCALES, NAMES, rendered
from hypothesis import given
from hypothesis import strategies as st

from mailer.rendering import plain_text
from mailer.rendering.wrapping import WIDTH, display_width, tidy, underlined, wrapped

texts = {
    f"{name}-{locale}": next(
        content for path, content in rendered(name, locale) if path.suffix == ".txt"
    )
    for name in NAMES
    for locale in LOCALES
}


@pytest.mark.parametrize("name", sorted(texts))
def test_no_line_is_wider_than_72_columns_and_no_two_lines_are_empty(name: str) -> None:
    text = texts[name]
    for line in text.split("\n"):
        assert display_width(line) <= WIDTH or "://" in line
        assert line == line.rstrip()
    assert "\n\n\n" not in text
    assert "&#" not in text
    assert "\u034f" not in text  # nothing of the hidden preheader


@pytest.mark.parametrize("name", sorted(texts))
def test_every_footnote_is_listed_and_every_listed_one_is_referred_to(name: str) -> None:
    for part in re.split(r"\* \* \*|-{72}", texts[name]):
        listed = re.findall(r"^\[(\d+)\] \S+$", part, re.MULTILINE)
        referred = re.findall(r"\[(\d+)\](?! \S*://)", part)
        assert sorted(listed) == sorted(referred)


def test_links_become_footnotes_each_address_once() -> None:
    text = plain_text(
        '<p>See <a href="https://a.test/1">one</a>, <a href="https://a.test/2">two</a> and '
        '<a href="https://a.test/1">one again</a>; write to <a href="mailto:a@b.test">us</a>, or '
        '<a href="https://c.test">https://c.test</a>.</p>'
    )
    body, notes = text.split("\n\n")
    assert body.replace("\n", " ") == (
        "See one [1], two [2] and one again [1]; write to us [3], or https://c.test."
    )
    assert notes == "[1] https://a.test/1\n[2] https://a.test/2\n[3] a@b.test"


def test_headings_are_underlined_and_points_hang() -> None:
    text = plain_text(f"<h2>What <em>we</em> do</h2><ul><li>{'word ' * 30}</li></ul>")
    heading, rule, _, first, second, *_ = text.split("\n")
    assert (heading, rule) == ("What we do", "----------")
    assert first.startswith("  * word")
    assert second.startswith("    word")


def test_wide_characters_take_two_columns_and_marks_take_none() -> None:
    assert display_width("日本") == 4
    assert display_width("e\u0301\u200f") == 1
    assert all(display_width(line) <= 20 for line in wrapped("日本語 " * 20, 20).split("\n"))
    assert underlined("日本") == "日本\n----"


@given(st.text(alphabet=st.sampled_from("ab ب日é\n"), max_size=300), st.integers(5, 80))
def test_wrapping_keeps_every_word_and_no_line_is_too_wide(text: str, width: int) -> None:
    lines = wrapped(text, width).split("\n")
    assert " ".join(lines).split() == text.split()
    assert all(display_width(line) <= width or " " not in line for line in lines)


def test_in_a_right_to_left_mail_latin_names_and_rules_do_not_turn_their_line() -> None:
    said = tidy("BBC قالت\nقالت BBC\n-----\nhttps://a.test\n\n\n\nنعم", "rtl").split("\n")
    assert said == ["\u200fBBC قالت", "قالت BBC", "\u200f-----", "https://a.test", "", "نعم"]
    assert tidy("BBC قالت\n-----", "ltr") == "BBC قالت\n-----"


def test_a_name_of_the_other_direction_is_kept_apart_in_text() -> None:
    arabic = texts["confirmation-ar"]
    assert all(unicodedata.bidirectional(c) != "FSI" for c in texts["digest-en"])
    assert "Baobab Press" in arabic
