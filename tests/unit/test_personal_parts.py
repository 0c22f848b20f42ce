"""Personal parts: what is compiled once is what a render for each reader would write."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import DictLoader

from mailer.rendering import (
    CannotWorkOut,
    CompiledMessage,
    HeaderRefused,
    ReaderValues,
    StaticHeaders,
    TemplateRefused,
    compile_message,
    load_template,
)
from mailer.rendering.compile import rendered
from mailer.rendering.html import inlined
from mailer.rendering.personal.evaluate import text_of, work_of
from mailer.rendering.personal.expressions import encode
from mailer.rendering.personal.trace import Trace
from mailer.rendering.sandbox import Missing, Sandbox

HEADERS = StaticHeaders("The Weekly", "weekly@news.test", None, "en")
TOPICS = ("politics", "culture", "sport")


def reader(**said: Any) -> ReaderValues:
    base: dict[str, Any] = {
        "email": "ada@readers.test",
        "name": "Ada Lovelace",
        "unsubscribe_url": "https://news.test/u/1",
        "preferences_url": "https://news.test/p/1",
        "confirm_url": "",
        "message_id": "<1@news.test>",
        "date": datetime(2026, 11, 24, 9, tzinfo=UTC),
        "delivery": "1",
        "locale": "en",
        "timezone": "Africa/Lagos",
    }
    return ReaderValues(**{**base, **said})


CONTENT: dict[str, Any] = {
    "newsletter": {"name": "The Weekly", "locale": "en"},
    "articles": [
        {"title": "A <b> & c", "section": "politics", "url": "https://news.test/1"},
        {"title": "Two", "section": "culture", "url": "https://news.test/2"},
        {"title": "Three", "section": "", "url": "https://news.test/3"},
    ],
}


@dataclass(frozen=True)
class Files:
    """A mail's templates, and those they include or import."""

    html: str
    text: str = "x"
    subject: str = "x"
    others: tuple[tuple[str, str], ...] = ()

    def write(self, folder: Path) -> None:
        own = folder / "own"
        own.mkdir(parents=True, exist_ok=True)
        for name, source in self._named():
            (folder / name).write_text(source, "utf-8")

    def _named(self) -> list[tuple[str, str]]:
        return [
            ("own/subject.txt", self.subject),
            ("own/preheader.txt", "x"),
            ("own/body.html", self.html),
            ("own/body.txt", self.text),
            *((f"own/{name}", source) for name, source in self.others),
        ]

    def naive(self, part: str, values: ReaderValues) -> str:
        """Render for this one reader, as if there was no other."""
        environment = Sandbox(
            loader=DictLoader(dict(self._named())),
            autoescape=lambda name: bool(name and name.endswith(".html")),
            undefined=Missing,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            extensions=["jinja2.ext.i18n"],
        )
        environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]
        links = {"unsubscribe": values.unsubscribe_url, "preferences": values.preferences_url}
        names = {**CONTENT, "reader": values, "links": links, "preheader": "x"}
        return environment.get_template(f"own/{part}").render(names)


def compiled(files: Files, folder: Path, values: ReaderValues) -> CompiledMessage:
    files.write(folder)
    template = load_template("own", folder)
    message = compile_message(template, CONTENT, HEADERS, nonce="0a1b2c", reader=values)
    return CompiledMessage.from_json(message.to_json())


@dataclass(frozen=True)
class Written:
    """The HTML as the templates write it for many, before styles are moved."""

    source: str
    trace: Trace

    def to(self, values: ReaderValues) -> str:
        pieces = []
        for text, number in self.trace.split(self.source):
            pieces.append(text)
            if number is not None:
                slot = self.trace.slot(number)
                tree = encode(("escape" if slot.escapes else "text", slot.node))
                pieces.append(text_of(tree, "en")(values))
        return "".join(pieces)


def written_html(files: Files, folder: Path, values: ReaderValues) -> Written:
    files.write(folder)
    trace = Trace("0a1b2c", lambda node: work_of(node, "en")(values))
    return Written(rendered(load_template("own", folder), CONTENT, trace)[1], trace)


class _Tokens(HTMLParser):
    """What a mail program reads: tags, attributes and text, all decoded."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Any] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def tokens(source: str) -> list[Any]:
    return _Tokens(source).found


def with_breaks(text: str) -> str:
    """Spell line ends as a mail does."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


# A grammar of templates

_VALUES = st.sampled_from([
    "reader.name", "reader.first_name", "reader.email", "reader.locale", "reader['timezone']",
    "reader.attributes.city", "reader.attributes['age']", "reader.attributes.get('city', 'Kano')",
    "reader.topics[0]", "reader.attributes.nothing.at.all", "newsletter.name", "articles[0].title",
    "'plain <i>'", "3", "loose", "caught", "told", "reader.name[1:3]",
])  # fmt: skip
_FILTERS = st.sampled_from([
    "upper", "lower", "title", "trim", "default('none')", "d('x', true)", "replace('a', '<&>')",
    "truncate(7)", "length", "string", "reverse | list | join('-')", "e", "first", "capitalize",
    "striptags", "center(9)", "indent(2)", "wordcount",
])  # fmt: skip


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{} | {}".format, inner, _FILTERS).map("({})".format),
        st.builds("({} ~ {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("({} == {})".format, inner, inner),
        st.builds("(not {})".format, inner),
        st.builds("('{{}}-' ~ {}).format({})".format, inner, inner),
        st.builds("'%s: %s' | format({}, {})".format, inner, inner).map("({})".format),
        st.builds("[{}, 'b'] | join('/')".format, inner).map("({})".format),
        st.builds("({}).upper()".format, inner.map("{} | string".format)),
        st.builds("_('Dear %(who)s,', who={})".format, inner),
        st.builds("greeting({})".format, inner),
    )


EXPRESSIONS = st.recursive(_VALUES, _combined, max_leaves=5)
CONDITIONS = st.one_of(
    EXPRESSIONS,
    st.sampled_from([
        "'politics' in reader.topics", "reader.topics", "reader.topics | length > 1",
        "reader.attributes.city is defined", "reader.locale in ['en', 'fr']",
        "reader.attributes.age is number and reader.attributes.age > 17",
        "1 < reader.topics | length <= 2", "reader.name.startswith('A')",
        "articles | selectattr('section', 'in', reader.topics) | list",
    ]),
)  # fmt: skip
_TEXTS = st.sampled_from(["Hello ", "<b>bold</b>", "&amp; ", "\n", "<p>new</p>", "é "])


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, min_size=1, max_size=3).map("".join)
    return st.one_of(
        st.builds("{{% if {} %}}{}{{% endif %}}".format, CONDITIONS, body),
        st.builds(
            "{{% if {} %}}{}{{% elif {} %}}{}{{% else %}}{}{{% endif %}}".format,
            CONDITIONS, body, CONDITIONS, body, body,
        ),
        st.builds(
            "{{% for loose in reader.topics %}}{{{{ loop.index }}}} {{{{ loose }}}}{}"
            "{{% else %}}{}{{% endfor %}}".format, body, body,
        ),
        st.builds(
            "{{% for article in articles if article.section in reader.topics or {} %}}"
            "{{{{ article.title }}}}{}{{% endfor %}}".format, CONDITIONS, body,
        ),
        st.builds(
            "{{% for loose in [{}, {}] %}}{}{{% endfor %}}".format, EXPRESSIONS, EXPRESSIONS, body
        ),
        st.builds("{{% set loose = {} %}}{}".format, EXPRESSIONS, body),
        st.builds("{{% set caught %}}{}{{% endset %}}{{{{ caught }}}}".format, body),
        st.builds(
            "{{% set caught %}}{{{{ {} }}}}{{% endset %}}{{{{ caught | {} }}}}".format,
            EXPRESSIONS, _FILTERS,
        ),
        st.builds("{{% with told = {} %}}{}{{% endwith %}}".format, EXPRESSIONS, body),
        st.builds(
            "{{% call(each) around({}) %}}{{{{ each }}}}{}{{% endcall %}}".format, EXPRESSIONS, body
        ),
        st.builds(
            "{{% trans who={} %}}To {{{{ who }}}}{{% endtrans %}}".format, EXPRESSIONS
        ),
    )  # fmt: skip


_WRITTEN = st.one_of(
    _TEXTS,
    EXPRESSIONS.map("{{{{ {} }}}}".format),
    EXPRESSIONS.map('<img alt="{{{{ {} }}}}" title="x">'.format),
    st.sampled_from(['{% include "own/part.html" %}', "{{ links.unsubscribe }}"]),
)
BODIES = st.lists(
    st.recursive(_WRITTEN, _statements, max_leaves=6), min_size=1, max_size=4
).map("".join)  # fmt: skip

_MACROS = (
    "{% macro greeting(who='you') %}To {{ who }}{% if who == 'Ada' %}!{% endif %}{% endmacro %}"
    "{% macro around(what) %}[{{ caller(what) }}]{% endmacro %}"
)
_PART = "({{ reader.attributes.city | default('nowhere') | upper }}{{ loose }})"
_IMPORTS = '{% from "own/macros.html" import greeting, around %}'
_BEGIN = "{% set loose = 'l' %}{% set caught = 'c' %}{% set told = 't' %}"

_HOSTILE = st.sampled_from([
    '"><script>alert(1)</script>', "a\nb\r\nc\rd", "\u202egnp.exe\u2066", "{{ 7 * 7 }}{% raw %}",
    "O'Brien & \"Sons\" <o@x.test>", "zq0a1b2cx0qz", "=?utf-8?q?x?=", ".", "..\n.\n", "", " a  b ",
    "%s %(who)s {0}", "𝒜𝒹𝒶", "a" * 80,
])  # fmt: skip
_WORDS = st.one_of(st.sampled_from(["Ada", "Bo Li", "Zoë"]), _HOSTILE, st.text(max_size=12))
READERS = st.builds(
    reader,
    name=_WORDS,
    locale=st.sampled_from(["en", "fr", "ar"]),
    topics=st.lists(st.sampled_from(TOPICS), unique=True).map(tuple),
    attributes=st.fixed_dictionaries(
        {}, optional={"city": _WORDS, "age": st.integers(0, 120), "tags": st.lists(_WORDS)}
    ),
)


def what_it_writes(files: Files, folder: Path, values: ReaderValues) -> Written | None:
    """Return what is written for many, or None where only a render for each could do it."""
    try:
        return written_html(files, folder, values)
    except TemplateRefused as refused:
        said = str(refused)
    except CannotWorkOut:
        said = ""
    allowed = "tags" in said or "links of their own" in said or naive_html(files, values) is None
    assert allowed, said
    return None


def naive_html(files: Files, values: ReaderValues) -> str | None:
    """Return what a render for this one reader writes; None where it fails."""
    try:
        return files.naive("body.html", values)
    except Exception:
        return None


def html_to(written: Written, values: ReaderValues) -> str | None:
    """Return what this reader gets of what was written for many; None where that fails."""
    try:
        return written.to(values)
    except CannotWorkOut:
        return None


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=BODIES, one=READERS, other=READERS)
def test_what_is_compiled_once_is_what_a_render_for_each_reader_writes(
    tmp_path_factory: pytest.TempPathFactory, body: str, one: ReaderValues, other: ReaderValues
) -> None:
    folder = tmp_path_factory.getbasetemp()
    files = Files(
        html=_IMPORTS + _BEGIN + body, others=(("macros.html", _MACROS), ("part.html", _PART))
    )
    for_one = what_it_writes(files, folder, one)
    for_other = what_it_writes(files, folder, other)
    if for_one is None or for_other is None:
        return
    for written, values in ((for_one, one), (for_other, other)):
        naive = naive_html(files, values)
        if naive is not None:
            assert html_to(written, values) == naive
    if for_one.trace.path == for_other.trace.path:
        assert html_to(for_one, other) == html_to(for_other, other)


SAFE = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp")), max_size=20
)


@settings(max_examples=60, deadline=None)
@given(name=SAFE, city=SAFE, topics=st.lists(st.sampled_from(TOPICS), unique=True).map(tuple))
def test_a_mail_program_reads_the_same_as_of_a_render_whose_styles_were_moved_for_one_reader(
    tmp_path_factory: pytest.TempPathFactory, name: str, city: str, topics: tuple[str, ...]
) -> None:
    files = Files(
        html="<html><head><style>p { color: #123456 }</style></head><body>"
        '<p title="{{ reader.name }} of {{ reader.attributes.city | upper }}">{{ reader.name }}</p>'
        "{% for topic in reader.topics %}<p>{{ topic }} {{ reader.name | title }}</p>{% endfor %}"
        '<a href="https://x.test/?n={{ reader.name | urlencode }}&amp;c=1">x</a></body></html>',
        text="Dear {{ reader.name }} of {{ reader.attributes.city | upper }}",
        subject="For {{ reader.attributes.city | title }}, {{ reader.name }}",
    )
    values = reader(name=name, attributes={"city": city}, topics=topics)
    message = compiled(files, tmp_path_factory.getbasetemp(), values)
    naive = inlined(files.naive("body.html", values))
    assert tokens(with_breaks(message.preview_html(values)).rstrip()) == tokens(naive.rstrip())
    text = with_breaks(message.preview_text(values))
    assert text.strip("\n") == files.naive("body.txt", values).strip("\n")
    assert message.subject(values) == " ".join(files.naive("subject.txt", values).split())


LONG = "O'Brien <b>&\"\u202e" * 6_000


@pytest.mark.parametrize("name", [LONG, "a" * 100_000, "\n.\r\n.\r" * 9_000], ids=len)
def test_a_value_of_100_kilobytes_is_written_as_it_is(tmp_path: Path, name: str) -> None:
    files = Files(
        html="<p>{{ reader.attributes.a | upper | e }}</p>{{ reader.attributes.a }}",
        text="{{ reader.attributes.a | replace('x', 'y') }}",
    )
    values = reader(attributes={"a": name})
    message = compiled(files, tmp_path, values)
    assert with_breaks(message.preview_text(values)).strip("\n") == with_breaks(name).strip("\n")
    raw = message.personalise(values)
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    assert b"\n." not in raw
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert "<b>" not in message.preview_html(values).partition("<body>")[2]


@pytest.mark.parametrize("name", ["x\r\nBcc: y@z.test", "x\ny", "x\u2028y", "x\0y"])
def test_a_computed_subject_begins_no_other_header(tmp_path: Path, name: str) -> None:
    files = Files("<p>x</p>", subject="{{ reader.attributes.a | replace('q', 'r') }}")
    message = compiled(files, tmp_path, reader())
    try:
        raw = message.personalise(reader(attributes={"a": name}))
    except HeaderRefused:
        assert "\0" in name
        return
    header = raw.partition(b"\r\n\r\n")[0]
    assert b"\r\nBcc" not in header
    assert b"\r\nSubject: x " in header


GROWING = [
    "{{ reader.attributes.a * 999999 }}",
    "{{ reader.attributes.a | center(999999) }}",
    "{{ reader.attributes.a | replace('', reader.attributes.a) }}",
    "{{ reader.attributes.a | list | join(reader.attributes.a) }}",
    "{{ '%999999999s' | format(reader.attributes.a) }}",
    "{{ '%*s' % (999999999, reader.attributes.a) }}",
    "{{ '{:>999999999}'.format(reader.attributes.a) }}",
    "{{ '{:>{}}'.format(reader.attributes.a, 99999999) }}",
    "{{ reader.attributes.n ** 10 ** 10 ** 10 }}",
    "{{ [reader.attributes.a] * 999999 | int }}",
    "{{ reader.attributes.a | indent(999999) }}",
    "{{ reader.attributes.__class__ }}",
    "{{ (reader.attributes.a | attr('format')).__globals__ }}",
    "{{ reader.attributes.a.zfill(99999999) }}",
    "{{ '{0.__class__.__mro__}'.format(reader.attributes.a) }}",
]


@pytest.mark.parametrize("source", GROWING)
def test_a_value_neither_grows_without_end_nor_leaves_the_sandbox(
    tmp_path: Path, source: str
) -> None:
    values = reader(attributes={"a": "x" * 3_000, "n": 99})
    with pytest.raises((CannotWorkOut, TemplateRefused)) as refusal:
        compiled(Files("<p>x</p>", text=source), tmp_path, values).personalise(values)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("name", ["0000", "*", "2026 * 4", "%9", "12345"])
def test_a_name_that_looks_like_a_width_is_a_name(tmp_path: Path, name: str) -> None:
    files = Files("{{ ('{}-' ~ reader.name).format(1) }} {{ '%s' | format(reader.name) }}")
    values = reader(name=name)
    html = compiled(files, tmp_path, values).preview_html(values)
    assert f"1-{name} {name}" in html


DOUBLED = "{% set x = reader.attributes.a %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}"


def test_a_template_that_doubles_a_value_over_and_over_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TemplateRefused, match="too large"):
        compiled(Files("<p>x</p>", text=DOUBLED), tmp_path, reader(attributes={"a": "x"}))


ADDRESSES = {
    'https://ada.example/a b?c="d': "https://ada.example/a%20b?c=%22d",
    "mailto:ada@x.test": "mailto:ada@x.test",
    "ada.example/x": "ada.example/x",
}


@pytest.mark.parametrize("given", ADDRESSES)
def test_an_address_of_a_readers_is_written_as_one(tmp_path: Path, given: str) -> None:
    files = Files('<a href="{{ reader.attributes.site }}">x</a>')
    values = reader(attributes={"site": given})
    html = compiled(files, tmp_path, values).preview_html(values)
    assert ("a", [("href", ADDRESSES[given])]) in tokens(html)


@pytest.mark.parametrize("bad", ["javascript:alert(1)", " JavaScript:x", "data:text/html,x", "v:x"])
def test_an_address_that_leads_nowhere_safe_fails_the_one_mail(tmp_path: Path, bad: str) -> None:
    files = Files('<a href="{{ reader.attributes.site }}">x</a>')
    message = compiled(files, tmp_path, reader())
    with pytest.raises(CannotWorkOut, match="leads nowhere safe"):
        message.personalise(reader(attributes={"site": bad}))


PLACES = {
    '<p class="{{ reader.name }}">': "own/body.html, line 2: “reader.name” stands inside a tag",
    '<p style="color: {{ reader.attributes.c | lower }}">': "line 2: “reader.attributes.c | lower”",
    "<{{ reader.name | lower }}>": "line 2: “reader.name | lower” stands inside a tag",
    "<img src={{ reader.name }}>": "line 2: “reader.name” stands inside a tag",
    "<style>{{ reader.name }}</style>": "line 2: “reader.name” stands in <style>",
    "<script>{{ reader.name }}</script>": "line 2: “reader.name” stands in <script>",
    "{{ reader.name | safe }}": "line 2: the filter “safe”",
    "{{ reader }}": "line 2: “reader” is used as a whole",
    "{{ reader.nmae }}": "line 2: “reader.nmae” is unknown",
    "{% if links.unsubscribe %}x{% endif %}": "line 2: “links.unsubscribe” steers the mail",
    "{{ ('<b>' | safe ~ reader.name) | upper }}": "line 2: “upper” is given tags",
    "{{ {reader.name: 1} }}": "line 2: “reader.name” depends on the reader",
    "{% set f = reader.name.encode %}{{ f() }}": "line 2: “reader.name.encode” cannot be called",
}


@pytest.mark.parametrize("source", PLACES)
def test_what_cannot_be_compiled_is_refused_with_file_and_line(tmp_path: Path, source: str) -> None:
    with pytest.raises(TemplateRefused) as refusal:
        compiled(Files(f"<p>x</p>\n{source}"), tmp_path, reader())
    assert PLACES[source] in str(refusal.value)


def test_a_mail_that_knows_no_reader_has_no_conditions(tmp_path: Path) -> None:
    Files("<p>x</p>\n\n{% if reader.topics %}x{% endif %}").write(tmp_path)
    with pytest.raises(TemplateRefused, match=r"line 3: “reader\.topics” steers the mail"):
        compile_message(load_template("own", tmp_path), CONTENT, HEADERS, nonce="0a1b2c")


def test_values_that_are_filtered_and_compared_do_not_steer(tmp_path: Path) -> None:
    source = (
        "{{ reader.name or 'reader' }} {{ 'yes' if 'sport' in reader.topics else 'no' }} "
        "{{ reader.attributes.city is defined and reader.attributes.city | upper }}"
    )
    message = compiled_here(Files("<p>x</p>", text=source), tmp_path)
    assert message.path == ()


def compiled_here(files: Files, folder: Path) -> CompiledMessage:
    files.write(folder)
    return compile_message(
        load_template("own", folder), CONTENT, HEADERS, nonce="0a1b2c", reader=reader()
    )


def test_what_was_escaped_when_it_was_caught_stays_so_when_it_is_filtered(tmp_path: Path) -> None:
    source = "{% set caught %}{{ reader.name }}{% endset %}{{ caught | replace('q', 'r') }}"
    values = reader(name="<i>q</i>")
    written = written_html(Files(source), tmp_path, values)
    assert written.to(values) == Files(source).naive("body.html", values) == "&lt;i&gt;r&lt;/i&gt;"
