"""Compiled mails: the same for all but the slots, and nothing a value can do about it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.errors import Refusal
from mailer.rendering import (
    CompiledMessage,
    HeaderRefused,
    ReaderValues,
    StaticHeaders,
    TemplateRefused,
    compile_message,
    load_template,
)
from mailer.rendering.quoted_printable import encode

HEADERS = StaticHeaders(
    from_name="The Wéekly",
    from_address="weekly@news.test",
    reply_to="desk@news.test",
    language="en",
    list_id="weekly.news.test",
    list_help_url="https://news.test/n/weekly",
    feedback_id="1:weekly:campaign:news.test",
)


def context(**campaign: Any) -> dict[str, Any]:
    return {
        "publisher": {"name": "Press", "address": "1 Road", "contact": "x@news.test"},
        "newsletter": {
            "name": "The Wéekly", "slug": "weekly", "locale": "en", "dir": "ltr",
            "postal_address": "1 Road, Lagos", "privacy_url": "", "terms_url": "",
        },
        "campaign": {
            "subject": "News of the wéek", "preheader": "And more", "body_html": "",
            "archive_url": "https://news.test/a/x", "date": "2026-11-24T09:00:00+00:00",
            "timezone": "Africa/Lagos", "purpose_label": "Updates", **campaign,
        },
        "topics": [],
        "articles": [
            {
                "id": number, "title": f"Story {number} <b>&", "summary": "It happened.\n.\nThen.",
                "url": f"https://news.test/{number}?a=1&b=2", "section": "Politics",
                "author": "Ada", "published_at": "2026-11-23T09:00:00+00:00", "language": "en",
                "paywalled": False, "sources": [],
                "image": {"url": "https://news.test/i.jpg", "alt": "A port", "caption": "The port",
                          "credit": "EPA", "width": 1200, "height": 675} if number == 1 else None,
            }
            for number in (1, 2, 3)
        ],
    }  # fmt: skip


def values(**changes: Any) -> ReaderValues:
    base: dict[str, Any] = {
        "email": "ada@readers.test",
        "name": "Ada",
        "unsubscribe_url": "https://news.test/u/" + "A" * 80,
        "preferences_url": "https://news.test/p/" + "B" * 80,
        "confirm_url": "https://news.test/c/" + "C" * 80,
        "message_id": "<1.abc@news.test>",
        "date": datetime(2026, 11, 24, 9, tzinfo=UTC),
        "delivery": "1.abc",
    }
    return ReaderValues(**{**base, **changes})


@pytest.fixture(scope="module")
def compiled() -> CompiledMessage:
    return compile_message(load_template("digest"), context(), HEADERS, nonce="0123456789abcdef")


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def template(tmp_path: Path, **files: str) -> Any:
    folder = tmp_path / "own"
    folder.mkdir()
    for part in ("subject.txt", "preheader.txt", "body.html", "body.txt"):
        name = part.replace(".", "_")
        (folder / part).write_text(files.get(name, "x"), "utf-8")
    return load_template("own", tmp_path)


def test_the_one_click_headers_stand_on_the_wire_as_they_are(compiled: CompiledMessage) -> None:
    raw = compiled.personalise(values())
    url = "https://news.test/u/" + "A" * 80
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in raw
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw
    headers = raw.split(b"\r\n\r\n")[0]
    for name in (
        b"From",
        b"To",
        b"Subject",
        b"Date",
        b"Message-ID",
        b"List-Unsubscribe",
        b"List-Id",
    ):
        assert len(re.findall(rb"(?m)^" + name + rb":", headers)) == 1
    assert b"List-Post: NO" in headers


def test_links_to_leave_and_to_choose_stand_near_the_top_and_in_the_footer(
    compiled: CompiledMessage,
) -> None:
    html = compiled.preview_html(values())
    for url in (values().unsubscribe_url, values().preferences_url):
        assert html.count(url) == 2
        assert url in compiled.preview_text(values())
    assert html.index(values().unsubscribe_url) < html.index("Story 1")
    assert "1 Road, Lagos" in html
    assert "signed up for" in html


def test_the_text_part_comes_first_and_can_be_read(compiled: CompiledMessage) -> None:
    message = parsed(compiled.personalise(values()))
    assert message.get_content_type() == "multipart/alternative"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "text/html"]
    text = compiled.preview_text(values())
    assert "https://news.test/2?a=1&b=2" in text
    assert "Story 2 <b>&" in text
    assert all(len(line) <= 72 for line in text.splitlines() if "://" not in line)


def test_content_is_escaped_and_styles_are_inlined_and_media_queries_survive(
    compiled: CompiledMessage,
) -> None:
    html = compiled.preview_html(values(name='<script>"x"'))
    assert "Story 1 &lt;b&gt;&amp;" in html
    assert "<script" not in html
    assert "prefers-color-scheme: dark" in html
    assert "!important" in html
    assert re.search(r"<h1[^>]*style=[^>]*font-size", html)
    assert len(html.encode()) < 102_000


@given(
    name=st.text(max_size=120),
    local=st.from_regex(r"[a-z.+]{1,20}", fullmatch=True),
)
def test_no_value_of_a_reader_breaks_the_message(name: str, local: str) -> None:
    message = _COMPILED
    try:
        raw = message.personalise(values(name=name, email=f"{local}@readers.test"))
    except HeaderRefused:
        assert any(ord(c) < 32 or ord(c) in (0x7F, 0x85, 0x2028, 0x2029) for c in name)
        return
    lines = raw.split(b"\r\n")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert max(map(len, lines)) <= 998
    body = raw.split(b"\r\n\r\n", 1)[1]
    assert all(len(line) <= 76 for line in body.split(b"\r\n"))
    assert not any(line.startswith(b".") for line in lines)
    seen = parsed(raw)
    assert seen["X-Mailer-Delivery"] == "1.abc"
    assert len(seen.get_all("To", [])) == 1
    assert seen["Subject"] == "News of the wéek"


_COMPILED = compile_message(load_template("digest"), context(), HEADERS, nonce="fedcba9876543210")


@pytest.mark.parametrize("field", ["name", "email", "message_id", "unsubscribe_url"])
@pytest.mark.parametrize("bad", ["x\r\nBcc: y@z.test", "x\ny", "x\0y"])
def test_a_line_break_never_begins_a_header(
    compiled: CompiledMessage, field: str, bad: str
) -> None:
    with pytest.raises(HeaderRefused):
        compiled.personalise(values(**{field: bad}))


@given(st.text(max_size=400))
def test_quoted_printable_gives_back_what_went_in(text: str) -> None:
    import quopri

    encoded = encode(text)
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))
    wanted = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "surrogatepass")
    assert quopri.decodestring(encoded).replace(b"\r\n", b"\n") == wanted


def test_the_compiled_form_survives_the_database(compiled: CompiledMessage) -> None:
    assert CompiledMessage.from_json(compiled.to_json()) == compiled


def test_two_readers_differ_in_nothing_but_their_own_values(compiled: CompiledMessage) -> None:
    one = compiled.personalise(values())
    two = compiled.personalise(values(unsubscribe_url="https://news.test/u/" + "Z" * 80))
    assert one != two
    assert one.replace(b"A" * 70, b"Z" * 70).count(b"Z" * 70) == two.count(b"Z" * 70)


def test_a_subject_may_hold_the_readers_name(tmp_path: Path) -> None:
    own = template(tmp_path, subject_txt="For {{ reader.name }}", body_html="<p>x</p>")
    message = compile_message(own, context(), HEADERS, nonce="00ff")
    assert message.subject(values(name="Zoë")) == "For Zoë"
    assert parsed(message.personalise(values(name="Zoë")))["Subject"] == "For Zoë"


REFUSED = {
    "an unknown variable": ("{{ campaing.subject }}", "campaing"),
    "a reader's value as HTML": ("{{ reader.name | safe }}", "line 1: the filter “safe”"),
    "a field that no reader has": ("{{ reader.nmae }}", "line 1: “reader.nmae” is unknown"),
    "all of a reader at once": ("{{ reader }}", "line 1: “reader” is used as a whole"),
    "a condition on a reader's value": ("{% if reader.name %}x{% endif %}", "reader.name"),
    "a reader's value in a class": ('<p class="{{ reader.name }}">x</p>', "reader.name"),
    "a reader's value as a tag": ("<{{ reader.name }}>x", "reader.name"),
    "a reader's value in a style": ("<style>{{ reader.name }}</style>", "reader.name"),
    "a syntax error": ("{% if %}", "line 1"),
    "a way out of the sandbox (CVE-2016-10745)": (
        '{{ "{0.__class__}".format(42) }}', "unsafe",
    ),
    "a way out by format_map (CVE-2019-10906)": (
        '{{ "{a.__class__}".format_map({"a": 42}) }}', "unsafe",
    ),
    "a way out by a stored format (CVE-2024-56326)": (
        '{% set f = "{0.__class__}".format %}{{ f(42) }}', "unsafe",
    ),
    "a way out by attr (CVE-2025-27516)": (
        '{{ ("{0.__class__}" | attr("format"))(42) }}', "unsafe",
    ),
    "dunders": ("{{ newsletter.__class__ }}", "unsafe"),
    "endless output": ("{% for i in range(99999) %}{{ 'x' * 100 }}{% endfor %}", "characters"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_template_that_cannot_be_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    source, named = REFUSED[case]
    own = template(tmp_path, body_html=f"<html><body>{source}</body></html>")
    with pytest.raises(TemplateRefused) as refusal:
        compile_message(own, context(), HEADERS, nonce="00ff")
    said = str(refusal.value)
    assert "\n" not in said
    assert "own" in said
    assert named in said


def test_an_operators_html_is_cleaned() -> None:
    message = compile_message(
        load_template("announcement"),
        context(body_html='<p onclick="x()">Hi <a href="javascript:x">y</a><script>z</script></p>'),
        HEADERS,
        nonce="00ff",
    )
    html = message.preview_html(values())
    assert "Hi" in html
    assert "onclick" not in html
    assert "javascript:" not in html
    assert "<script" not in html


def test_a_confirmation_is_no_list_mail_and_says_nothing_a_stranger_typed() -> None:
    headers = StaticHeaders("W", "w@news.test", None, "en", auto_submitted=True)
    notice = "Word for word."
    message = compile_message(
        load_template("confirmation"),
        {**context(), "purposes": ["Updates"], "notice": notice},
        headers,
        nonce="00ff",
    )
    raw = message.personalise(values(name="Buy pills at evil.test"))
    assert b"Auto-Submitted: auto-generated" in raw
    assert b"List-" not in raw
    assert "pills" not in message.preview_html(values(name="Buy pills at evil.test"))
    assert notice in message.preview_text(values())


def test_there_is_no_template_of_another_name() -> None:
    with pytest.raises(Refusal, match="digest"):
        load_template("../../etc")


SUBJECTS = ["x" * 180, "=?utf-8?q?decoded?=", "Ein " + "sehrlangeswort" * 8 + " hier", "é" * 200]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_that_cannot_be_folded_is_encoded_and_comes_back_whole(subject: str) -> None:
    message = compile_message(
        load_template("announcement"),
        context(subject=subject, body_html="<p>Hello.</p>"),
        HEADERS,
        nonce="0123456789abcdef",
    )
    raw = message.personalise(values())
    assert parsed(raw)["Subject"] == subject
    assert all(len(line) <= 78 for line in raw.split(b"\r\n\r\n")[0].split(b"\r\n")[2:6])


@given(st.text(max_size=60), st.text(max_size=60))
def test_what_is_made_can_go_over_the_wire_as_it_is(name: str, local: str) -> None:
    """No bare CR or LF, no line that begins with a dot: nothing can end the message early."""
    smuggled = "\n.\n\r.\r\n.\r\nMAIL FROM:<evil@x.test>\r\n"
    texts = {"subject": f"{name} . ", "body_html": f"<p>.{name}{smuggled}.</p>"}
    try:
        raw = compile_message(
            load_template("announcement"), context(**texts), HEADERS, nonce="0123456789abcdef"
        ).personalise(values(unsubscribe_url=f"https://news.test/{local}", name=name))
    except Refusal:
        return
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    assert b"\n." not in raw
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))


def test_a_template_without_a_subject_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateRefused, match="writes no subject"):
        compile_message(
            template(tmp_path, subject_txt=" "), context(), HEADERS, nonce="0123456789abcdef"
        )
