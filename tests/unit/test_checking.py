"""Every check, with a mail that has the fault and one that has not."""

from __future__ import annotations

import shutil
import time

import pytest

from mailer.checking.clients import NoSuchClient, chosen_clients, client_findings
from mailer.checking.content import content_findings
from mailer.checking.contrast import contrast_findings
from mailer.checking.css import read_sheet, read_style
from mailer.checking.findings import Level, errors
from mailer.checking.inbox import (
    preheader_findings,
    size_findings,
    subject_findings,
    text_findings,
)
from mailer.checking.links import (
    Target,
    answer_findings,
    link_findings,
    targets,
)
from mailer.checking.mail import About, Mail
from mailer.checking.placeholders import placeholder_findings
from mailer.checking.screenshots import with_pictures
from mailer.checking.sender import (
    address_findings,
    header_findings,
    leaving_findings,
    own_url_findings,
)
from mailer.checking.spam import spam_findings
from mailer.checking.structure import (
    heading_findings,
    image_findings,
    language_findings,
    style_findings,
    table_findings,
    title_findings,
)
from mailer.domain.reached import Reached
from mailer.services.mails.samples import PICTURES, sample_mail, sample_message, sample_reader

OWN = "https://letters.kassa.ng"
LEAVE, CHOOSE = f"{OWN}/u/x", f"{OWN}/p/x"
ABOUT = About("1 Long Street, Kassa", LEAVE, CHOOSE, OWN)
HEADERS = (
    ("From", "W <w@kassa.ng>"), ("Date", "now"), ("Message-ID", "<a@b>"), ("Subject", "News"),
    ("List-Unsubscribe", f"<{LEAVE}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
)  # fmt: skip
DARK = "@media (prefers-color-scheme: dark)"


def mail(body="", *, head="", page='lang="en" dir="ltr"', **more):
    """A mail with this body, in which nothing else is wrong."""
    html = (
        f"<!DOCTYPE html><html {page}><head><title>News</title>{head}</head><body>{body}"
        f'<div lang="en" dir="ltr"><h1>News</h1><a href="{LEAVE}">Leave</a> '
        f'<a href="{CHOOSE}">Choose</a> 1 Long Street, Kassa</div></body></html>'
    )
    text = f"The news of the week, in short.\n\nLeave: {LEAVE}\n"
    fields = {"subject": "News of the week", "html": html, "text": text, "headers": HEADERS}
    return Mail(**{**fields, "about": ABOUT, **more})


def found(check, *given, **more):
    return [(finding.level.value, finding.what) for finding in check(mail(*given, **more))]


HIDDEN = '<div style="display:none">What the river did last night</div>'
FAULTS = [
    (subject_findings, {"subject": ""}, "error", "no subject"),
    (subject_findings, {"subject": "x" * 71}, "warning", "71 characters"),
    (subject_findings, {"subject": "THE RIVER IS RISING TONIGHT"}, "warning", "capitals"),
    (preheader_findings, {}, "warning", "no hidden line"),
    (preheader_findings, {"body": HIDDEN, "subject": "What the river did last night"},
     "warning", "what the subject says"),
    (preheader_findings, {"body": '<p style="font-size: 0">Too short</p>'}, "note", "9 characters"),
    (size_findings, {"body": "é" * 45_000}, "warning", "Gmail cuts off"),
    (size_findings, {"body": "é" * 51_000}, "error", "Gmail cuts it off"),
    (text_findings, {"text": " \n"}, "error", "no text part"),
    (text_findings, {"text": f"Hi {LEAVE[:10]}"}, "warning", "next to nothing"),
    (text_findings, {"text": "The news of the week, in short."}, "warning", "no link to leave"),
    (leaving_findings, {"about": ABOUT.__class__("", "https://x.ng/u", CHOOSE)},
     "error", "no link to leave"),
    (leaving_findings, {"about": ABOUT.__class__("", LEAVE, "https://x.ng/p")},
     "warning", "preferences"),
    (address_findings, {"about": About()}, "error", "has no postal address"),
    (address_findings, {"about": About("77 Acacia Avenue, Ndombia")}, "error", "does not stand"),
    (header_findings, {"headers": HEADERS[:4]}, "error", "no one-click way"),
    (header_findings, {"headers": HEADERS[:5]}, "error", "one click"),
    (header_findings, {"headers": (*HEADERS, ("Date", "then"))}, "error", "stands 2 times"),
    (own_url_findings, {"about": About(own_url="http://127.0.0.1")}, "warning", "this machine"),
    (own_url_findings, {"about": About(own_url="http://kassa.ng")}, "warning", "not https"),
    (placeholder_findings, {"body": "Dear {{ name }},"}, "error", "{{ name }}"),
    (placeholder_findings, {"subject": "Dear *|FNAME|*"}, "error", "*|FNAME|*"),
    (placeholder_findings, {"body": '<a href="https://x.ng/%%id%%">x</a>'}, "error", "%%id%%"),
    (placeholder_findings, {"text": "Lorem ipsum, lorem ipsum"}, "warning", "Lorem ipsum"),
    (link_findings, {"body": "<a href='#'>x</a>"}, "error", "leads nowhere"),
    (link_findings, {"body": "<a style='color:red'>x</a>"}, "error", "A link leads nowhere"),
    (link_findings, {"body": "<a href='/story'>x</a>"}, "error", "leads nowhere from a mail"),
    (link_findings, {"body": "<a href='javascript:x()'>x</a>"}, "error", "leads nowhere"),
    (link_findings, {"body": "<a href='https:///x'>x</a>"}, "error", "names no host"),
    (link_findings, {"body": "<a href='mailto:desk'>x</a>"}, "error", "no mail address"),
    (link_findings, {"body": "<a href='tel:call us'>x</a>"}, "error", "no telephone number"),
    (link_findings, {"body": "<img src='a.png' alt=''>"}, "error", "is no address"),
    (image_findings, {"body": "<img src='https://x.ng/a.png' width='9'>"}, "error", "has no alt"),
    (image_findings, {"body": "<a href='https://x.ng'><img src='a' alt='' width='9'></a>"},
     "error", "empty alt"),
    (image_findings, {"body": "<img src='https://x.ng/a.png' alt='A'>"}, "warning", "width"),
    (language_findings, {"page": ""}, "warning", "its language"),
    (language_findings, {"page": 'lang="ar"'}, "error", "written rtl"),
    (language_findings, {"page": 'lang="fr"'}, "warning", "within the body"),
    (title_findings, {"html": "<html><head><title> </title></head></html>"}, "warning", "<title>"),
    (heading_findings, {"body": "<h1>A</h1>"}, "warning", "2 headings"),
    (heading_findings, {"html": "<p>A</p>"}, "warning", "no h1"),
    (heading_findings, {"html": "<h1>A</h1><h3>B</h3>"}, "warning", "h3 follows an h1"),
    (table_findings, {"body": "<table><tr><td>A</td></tr></table>"}, "warning", "layout"),
    (style_findings, {"head": f"<style>{'a{color:red}' * 1500}</style>"}, "warning", "18 KB"),
    (style_findings, {"body": "<script>x()</script>"}, "error", "<script>"),
    (contrast_findings, {"body": "<p style='color:#999'>A</p>"}, "warning", "#999999 on #ffffff"),
    (contrast_findings, {"body": "<td bgcolor='#000000'><font color='black'>A</font></td>"},
     "error", "#000000 on #000000"),
    (contrast_findings, {"body": "<p style='color:rgba(0,0,0,.4)'>A</p>"}, "warning", "#999999"),
    (contrast_findings,
     {"head": f"<style>{DARK} {{ .a {{ color: #222 !important }} }}</style>",
      "body": "<p class='a' style='color:#000'>A</p>"}, "error", "#222222 on #121212"),
    (contrast_findings, {}, "note", "nothing of dark windows"),
    (client_findings, {"body": "<div style='display: flex'>A</div>"}, "warning", "display:flex"),
    (client_findings, {"body": "<img src='https://x.ng/a.webp?w=1' alt=''>"}, "warning", "webP"),
    (client_findings, {"head": "<style>@import url(a.css);</style>"}, "warning", "@import"),
    (client_findings, {"body": "<p style='border-radius: 4px'>A</p>"}, "note", "border-radius"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "given", "level", "words"), FAULTS)
def test_a_fault_is_found_and_says_how_bad_it_is(check, given, level, words) -> None:
    assert any(level == each and words in what for each, what in found(check, **given)), found(
        check, **given
    )


def test_in_a_mail_without_faults_nothing_is_found() -> None:
    dark = f"<style>{DARK} {{ body, a {{ background: #000; color: #eee !important }} }}</style>"
    table = '<table role="presentation"><tr><td>A</td></tr></table>'
    picture = '<img src="https://x.ng/a.png" alt="A river" width="520">'
    written = '<a href="mailto:a@b.ng,c@d.ng?subject=x">A</a> <a href="tel:+234-80;ext=1">B</a>'
    fine = mail(
        HIDDEN
        + table
        + picture
        + written
        + '<h2>A</h2><a href="#top">A</a><a id="top">A</a><a></a>',
        head=dark,
    )
    assert [each for each in content_findings([fine]) if each.level is not Level.NOTE] == []


def test_what_stands_in_a_story_may_be_meant() -> None:
    about = About(told=("How to write {{ name }} in a template",))
    assert found(placeholder_findings, "Write {{ name }}", about=about) == [
        ("warning", "“{{ name }}” looks like a place that nobody filled in.")
    ]


@pytest.mark.parametrize(
    "body",
    [
        "<p style='color:#fff;display:none'>A</p>",
        "<div style='max-height:0;overflow:hidden'><p style='color:#fff'>A</p></div>",
        "<p style='color:#777;font-size:24px'>Large letters need less</p>",
        "<td style='background:url(a.png)'><p style='color:#fff'>On a picture</p></td>",
        "<p style='color:var(--ink)'>Nobody knows</p>",
        "<p style='color:#fff'> &nbsp;·&nbsp; </p>",
        "<td bgcolor='#ffffff' style='background-color:#000'><p style='color:#fff'>A</p></td>",
    ],
)
def test_what_nobody_reads_or_knows_has_no_contrast(body) -> None:
    assert [each for each in found(contrast_findings, body) if each[0] != "note"] == []


@pytest.mark.parametrize(
    ("reached", "level"),
    [
        (Reached(200), None),
        (Reached(404), "error"),
        (Reached(410), "error"),
        (Reached(403), "note"),
        (Reached(503), "warning"),
        (Reached(None, "no answer within 10 seconds"), "warning"),
    ],
)
def test_what_is_gone_is_an_error_and_what_cannot_be_reached_a_warning(reached, level) -> None:
    judged = list(answer_findings({Target("https://x.ng/a", False, "line 1"): reached}))
    assert [each.level.value for each in judged] == ([level] if level else [])


@pytest.mark.skipif(shutil.which("spamassassin") is None, reason="SpamAssassin is not installed")
def test_what_spamassassin_takes_for_spam_is_an_error_and_our_digest_is_not() -> None:
    gtube = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
    spam = b"Subject: x\r\n\r\n" + gtube + b"\r\n"
    (judged,) = spam_findings(spam, "spamassassin", 60)
    assert (judged.level, "GTUBE" in judged.what) == (Level.ERROR, True)
    pictures = {picture: f"https://kassa.ng/{picture}.jpg" for picture in PICTURES}
    digest = sample_message("digest", "en", own_templates=None, pictures=pictures)
    (judged,) = spam_findings(digest.personalise(sample_reader()), "spamassassin", 60)
    assert judged.level is Level.NOTE
    assert float(judged.what.split()[2]) < 1.0


@pytest.mark.parametrize(
    ("command", "words"),
    [("none", "switched off"), ("no-such-program", "not installed"), ("sleep", "gave no score")],
)
def test_without_spamassassin_that_is_said_and_no_more(command, words) -> None:
    (judged,) = spam_findings(b"Subject: x\r\n\r\n", command, 5)
    assert (judged.level, words in judged.what) == (Level.WARNING, True)


def test_a_picture_that_is_a_page_is_none() -> None:
    target = Target("https://x.ng/a.png", True, "line 1")
    assert errors(answer_findings({target: Reached(200, content_type="text/html")}))
    assert not list(answer_findings({target: Reached(200, content_type="image/png", octets=9)}))


def test_readers_own_links_are_not_asked_and_others_once() -> None:
    body = "<a href='https://x.ng/a#b'>A</a><a href='https://x.ng/a'>A</a><img src='{}/i.png'>"
    asked = [target.url for target in targets(mail(body.format(OWN)))]
    assert asked == ["https://x.ng/a", f"{OWN}/i.png"]


def test_clients_are_chosen_by_family_or_by_name() -> None:
    assert chosen_clients(["outlook.windows"]) == ("outlook.windows",)
    assert {"gmail.ios", "gmail.android"} <= set(chosen_clients(["gmail"]))
    with pytest.raises(NoSuchClient, match="lotus"):
        chosen_clients(["lotus"])
    flex = mail("<div style='display: flex'>A</div>")
    assert not list(client_findings(flex, ("apple-mail.macos",)))


def test_css_is_read_though_it_is_broken() -> None:
    sheet = read_sheet(
        "/* { */ a, b > i { color: red; ; background: url('a;b}c') } @media (max-width: 9px) { .x "
        "{ margin: 0!important } } @font-face { src: x } .y { color: blue; p { top: 0 } } } z {"
    )
    assert [(rule.selectors, rule.within) for rule in sheet.rules] == [
        (("a", "b > i"), ()), ((".x",), ("@media (max-width: 9px)",)), ((".y",), ()), (("z",), ()),
    ]  # fmt: skip
    assert sheet.rules[0].declarations[1].value == "url('a;b}c')"
    assert sheet.rules[1].declarations == [("margin", "0", True)]
    assert sheet.nests
    assert read_style("color:red;;:x;b;c:") == [("color", "red", False)]


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + "deep",
        "<p style='color:#777'>x</p>" * 200_000,
        "<style>" + 'a"\\"' * 100_000 + "</style><p>x</p>",
        "<style>" + ":not(" * 50_000 + "{color:red}" + "</style><p>x</p>",
        "<style>" + "a b c d e f > g ~ h{color:red}" * 8_000 + "</style>" + "<p>x</p>" * 2_000,
        "<img src='" * 30_000,
        "{{ " * 300_000,
        "\0<!--" * 100_000,
        "",
    ],
    ids=["deep", "5 MB", "quotes", "selectors", "rules", "images", "braces", "comments", "nothing"],
)
def test_hostile_html_ends_quickly(html) -> None:
    began = time.process_time()
    assert errors(content_findings([mail(html=html)]))
    with_pictures(html, lambda url: None)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("locale", ["en", "ar", "am"])
@pytest.mark.parametrize("name", ["digest", "story", "breaking", "announcement", "renewal"])
def test_our_own_mails_have_only_notes(name, locale) -> None:
    pictures = {picture: f"https://kassa.ng/{picture}.jpg" for picture in PICTURES}
    compiled = sample_message(name, locale, own_templates=None, pictures=pictures)
    made = sample_mail(compiled, locale)
    judged = [
        each for each in content_findings([made])
        if each.level is not Level.NOTE and each.check != "headers"
    ]  # fmt: skip
    assert judged == []  # the sample has no list headers
    assert made.html.startswith("<!DOCTYPE html>")
    assert made.text
