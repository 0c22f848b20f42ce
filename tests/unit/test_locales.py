"""Every sentence that readers see is translated, and nothing breaks where one is not."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel import Locale

from mailer.locales import LANGUAGES, READ, catalogue_for, faults, own_name, spoken, translations
from mailer.locales.catalogues import FOLDER, TEMPLATE
from mailer.locales.extract import UNREAD, as_text, extracted
from mailer.rendering.filters import clock_time, long_date


def test_the_template_of_the_catalogues_holds_every_sentence_of_today() -> None:
    assert TEMPLATE.read_text("utf-8") == as_text(extracted()), "run `make messages`"


def test_nothing_is_missing_fuzzy_unknown_or_without_its_placeholders() -> None:
    assert [f"{one.language} {one.kind}: {one.message}" for one in faults()] == []


def test_a_missing_fuzzy_or_broken_sentence_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    swahili = (tmp_path / "sw.po").read_text("utf-8")
    swahili = swahili.replace('msgstr "Hifadhi"', 'msgstr ""')
    swahili = swahili.replace('msgstr "Imehifadhiwa."', 'msgstr "Imehifadhiwa. %(x)s"')
    swahili = swahili.replace('msgid "Terms"', '#, fuzzy\nmsgid "Terms"')
    (tmp_path / "sw.po").write_text(swahili, "utf-8")
    monkeypatch.setattr("mailer.locales.catalogues.FOLDER", tmp_path)
    found = {(one.language, one.kind, one.message) for one in faults()}
    assert found == {
        ("sw", "missing", "Save"), ("sw", "fuzzy", "Terms"), ("sw", "placeholders", "Saved."),
    }  # fmt: skip


def test_a_sentence_that_no_catalogue_has_stays_english() -> None:
    assert translations("ar").gettext("Nobody has said this yet.") == "Nobody has said this yet."
    assert translations("de").gettext("Save") == "Save"


@pytest.mark.parametrize(
    ("locale", "language"),
    [("pt-BR", "pt"), ("ar_EG", "ar"), ("sw-TZ", "sw"), ("de", "en"), ("", "en"), ("AM", "am")],
)
def test_a_locale_is_spoken_to_in_its_language_or_in_english(locale: str, language: str) -> None:
    assert catalogue_for(locale) == language


@pytest.mark.parametrize(
    ("locale", "written"),
    [
        ("pt-BR", "pt-BR"),
        ("ar-EG", "ar-EG"),
        ("pt-x1", "pt"),
        ("pt_BR", "pt"),
        ("de-AT", "en"),
        ("", "en"),
    ],
)
def test_a_page_is_written_in_a_locale_that_it_can_name(locale: str, written: str) -> None:
    assert spoken(locale) == written


@pytest.mark.parametrize("language", LANGUAGES)
def test_plurals_have_a_form_for_every_number(language: str) -> None:
    one, many = "The link works for %(num)s day.", "The link works for %(num)s days."
    forms = {translations(language).ngettext(one, many, n) % {"num": n} for n in range(1, 120)}
    assert len(forms) >= 117  # Arabic writes one and two as words
    arabic = [translations("ar").ngettext(one, many, n) for n in (1, 2, 3, 11, 100)]
    assert len(set(arabic)) == 5


@pytest.mark.parametrize(
    ("locale", "date"),
    [
        ("en", "November 20, 2026"), ("fr", "20 novembre 2026"), ("ar", "20 نوفمبر 2026"),
        ("pt", "20 de novembro de 2026"), ("sw", "20 Novemba 2026"), ("ha", "20 Nuwamba, 2026"),
        ("am", "20 ኖቬምበር 2026"), ("ar-EG", "20 نوفمبر 2026"),
    ],
)  # fmt: skip
def test_dates_are_those_of_the_locale_and_the_zone(locale: str, date: str) -> None:
    moment = datetime(2026, 11, 19, 23, 30, tzinfo=UTC).isoformat()
    assert long_date(moment, locale, "Africa/Lagos") == date
    assert "12" in clock_time(moment, locale, "Africa/Lagos").replace("00", "12")


def test_a_language_that_nobody_has_read_says_so_in_its_catalogue() -> None:
    for language in LANGUAGES:
        if language != "en":
            head = (FOLDER / f"{language}.po").read_text("utf-8").split("\n")[0]
            assert (UNREAD in head) == (language not in READ)


def test_the_documentation_says_which_languages_nobody_has_read() -> None:
    said = (Path(__file__).parents[2] / "docs/how-to/locales.md").read_text("utf-8")
    sentence = re.search(r"\*\*No native speaker has read the (.*?) catalogue", said)
    assert sentence is not None
    named = set(re.findall(r"[A-Z]\w+", sentence.group(1)))
    unread = {Locale.parse(language).get_display_name("en") for language in {*LANGUAGES} - READ}
    assert named == unread


def test_languages_are_offered_in_their_own_words() -> None:
    assert [own_name(language) for language in LANGUAGES] == [
        "English", "አማርኛ", "العربية", "Français", "Hausa", "Português", "Kiswahili",
    ]  # fmt: skip
    assert own_name("xx") == "xx"
    assert all(Locale.parse(language) for language in LANGUAGES)
