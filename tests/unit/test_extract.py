"""Pages in other languages than English: who wrote it, who made the picture, who may read it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailer.domain.articles import ArticleDraft
from mailer.feeds import extract_article, parse_feed
from mailer.feeds.words import author, caption_and_credit, credit

TEXTS = {
    "en": "The port was opened again on Friday, and the boats came home with the evening tide. ",
    "ar": "أعيد فتح الميناء يوم الجمعة وعادت القوارب إلى الشاطئ مع مد المساء بعد أسبوع. ",
    "am": "ወደቡ ዓርብ ዕለት እንደገና ተከፈተ፤ ጀልባዎቹም ከማዕበሉ በኋላ ወደ ባሕር ዳርቻ ተመለሱ። ",
    "sw": "Bandari ilifunguliwa tena siku ya Ijumaa, na boti zikarudi nyumbani jioni. ",
}


def page(
    lang: str = "en",
    *,
    head: str = "",
    body: str = "",
    figure: str = "",
    linked: dict[str, Any] | list[Any] | None = None,
) -> bytes:
    """Return an article's page; `linked` is what it says of itself to machines."""
    said = f"<script type='application/ld+json; charset=utf-8'>{json.dumps(linked)}</script>"
    return f"""<html lang="{lang}"><head><meta charset="utf-8"><title>A title</title>
<meta property="og:type" content="article"><meta property="og:title" content="A title">
{head}{said if linked else ""}</head><body><article><h1>A title</h1>{body}{figure}
<p>{TEXTS.get(lang[:2], TEXTS["en"]) * 8}</p></article></body></html>""".encode()


def read(*given: Any, **more: Any) -> ArticleDraft:
    """Return the article of such a page."""
    return extract_article(page(*given, **more), url="https://news.test/a")


@pytest.mark.parametrize("lang", TEXTS)
def test_a_page_is_read_in_any_script(lang: str) -> None:
    article = read(lang)
    assert article.language == lang
    assert article.summary
    assert article.summary in TEXTS[lang] * 8


CAPTIONS = {
    "Boats come home. Photo: Ada Obi/AFP": ("Boats come home.", "Ada Obi/AFP"),
    "Boats come home (Photo by Ada Obi)": ("Boats come home", "Ada Obi"),
    "Le retour des bateaux. Crédit photo : Awa Diop": ("Le retour des bateaux.", "Awa Diop"),
    "O porto reabriu. Foto: Divulgação": ("O porto reabriu.", "Divulgação"),
    "عودة القوارب. تصوير: سامي حداد": ("عودة القوارب.", "سامي حداد"),
    "Boti zarudi nyumbani. Picha: Juma Ali": ("Boti zarudi nyumbani.", "Juma Ali"),
    "Jiragen ruwa sun dawo. Hoto: Sani Bello": ("Jiragen ruwa sun dawo.", "Sani Bello"),
    "ጀልባዎቹ ተመለሱ። ፎቶ፦ አበበ ከበደ": ("ጀልባዎቹ ተመለሱ።", "አበበ ከበደ"),
    "The boats © Reuters": ("The boats", "Reuters"),
    "A photo by the river: the boats": ("A photo by the river: the boats", ""),
    "Photographer Ada Obi won": ("Photographer Ada Obi won", ""),
}


@pytest.mark.parametrize("text", CAPTIONS)
def test_caption_and_credit_are_told_apart(text: str) -> None:
    assert caption_and_credit(text) == CAPTIONS[text]


CREDITS = {
    "Photo: AFP": "AFP", "Photo credit: AFP": "AFP", "Image source, Getty Images": "Getty Images",
    "CHANZO CHA PICHA, GETTY": "GETTY", "Asalin hoton, Getty": "Getty", "الصورة: رويترز": "رويترز",
    "የፎቶው ባለመብት, Getty": "Getty", "Crédit photo, Getty": "Getty", "© EPA": "EPA",
    "(Foto: Arena)": "Arena", "picture alliance/dpa": "picture alliance/dpa",
    "Photo © Ada": "Ada", "Photographers' Union": "Photographers' Union",
}  # fmt: skip


@pytest.mark.parametrize("text", CREDITS)
def test_a_credit_is_a_name(text: str) -> None:
    assert credit(text) == CREDITS[text]


BYLINES = [
    ("By Ada Obi", "en", "Ada Obi"), ("Par Awa Diop", "fr", "Awa Diop"),
    ("Por Ana Lima", "pt-BR", "Ana Lima"), ("بقلم: سامي حداد", "ar", "سامي حداد"),
    ("Na Juma Ali", "sw", "Juma Ali"), ("Daga Sani Bello", "ha", "Sani Bello"),
    ("በ አበበ ከበደ", "am", "አበበ ከበደ"), ("Na Li", "en", "Na Li"),
    ("Par Andersson", "sv", "Par Andersson"), ("Byron Obi", "en", "Byron Obi"),
    ("By Ada Obi", "", "Ada Obi"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "language", "named"), BYLINES)
def test_an_author_is_a_name(text: str, language: str, named: str) -> None:
    assert author(text, language) == named


def test_an_author_is_found_where_readers_see_one() -> None:
    shown = "<p class='article-byline'>Par <a href='/a'>Awa Diop</a> · 3 mars</p>"
    assert read("fr", body=shown).author == "Awa Diop"
    assert (
        read("sw", body="<span itemprop='author'>Na Juma Ali, 3 Machi</span>").author == "Juma Ali"
    )
    long = f"<div class='byline'>{'By somebody who tells a long story. ' * 9}</div>"
    assert read(body=long).author == ""


def test_what_is_only_named_is_looked_up() -> None:
    article = read(
        linked={
            "@graph": [
                {"@type": "OpinionNewsArticle", "author": {"@id": "#ada"}, "image": {"@id": "#i"}},
                {"@type": "Person", "@id": "#ada", "name": "By Ada Obi"},
                {"@type": "ImageObject", "@id": "#i", "url": "/boats.jpg", "caption": "Boats",
                 "creator": {"@type": "Person", "name": "Photo: Sani"}},
            ]
        }
    )  # fmt: skip
    assert article.author == "Ada Obi"
    assert article.image
    assert article.image.url == "https://news.test/boats.jpg"
    assert (article.image.caption, article.image.credit) == ("Boats", "Sani")


LANGUAGES = [
    ("pt_BR", "", "pt-BR"), ("", "<meta property='og:locale' content='fr_CI'>", "fr-CI"),
    ("not a language", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("lang", "head", "found"), LANGUAGES)
def test_a_language_is_one_that_browsers_understand(lang: str, head: str, found: str) -> None:
    assert read(lang, head=head).language == found


TIER = "<meta property='article:content_tier' content='{}'>"
PART = {"@type": "WebPageElement", "isAccessibleForFree": "False", "cssSelector": ".paid"}
PAYWALLS: dict[str, tuple[str, Any, bool | None]] = {
    "nothing said": ("", {}, None),
    "free": ("", {"isAccessibleForFree": True}, False),
    "paid": ("", {"isAccessibleForFree": "http://schema.org/False"}, True),
    "a part is paid": ("", {"hasPart": [PART]}, True),
    "one part, no list": ("", {"hasPart": PART}, True),
    "locked": (TIER.format("locked"), {}, True),
    "metered": (TIER.format("metered"), {"isAccessibleForFree": False}, False),
    "microdata": ("<meta itemprop='isAccessibleForFree' content='False'>", {}, True),
    "nonsense": ("", {"isAccessibleForFree": {"a": 1}, "hasPart": 5}, None),
}


@pytest.mark.parametrize("case", PAYWALLS)
def test_a_page_says_whether_it_is_for_subscribers(case: str) -> None:
    head, said, paywalled = PAYWALLS[case]
    article = read(head=head, linked={"@type": ["Thing", "https://schema.org/NewsArticle"], **said})
    assert article.paywalled is paywalled


@pytest.mark.parametrize("value", [5, None, [], {}, [[]], {"@id": 5}, [{"@id": {}}], "x" * 9])
@pytest.mark.parametrize("name", ["author", "image", "hasPart", "headline", "inLanguage", "url"])
def test_something_strange_said_to_machines_takes_nothing_with_it(name: str, value: Any) -> None:
    assert read(linked=[{"@type": "NewsArticle", name: value}]).title


def test_an_author_in_a_feed_is_a_name_in_its_language() -> None:
    feed = (
        '<rss version="2.0"><channel><title>x</title><language>sw_KE</language><item>'
        "<title>A</title><link>https://news.test/a</link><author>Na Juma Ali</author></item>"
        "</channel></rss>"
    )
    (entry,) = parse_feed(feed.encode(), url="f").entries
    assert (entry.author, entry.language) == ("Juma Ali", "sw-KE")
