"""What every standard mail's HTML must be: structure, sizes, what mail programs need."""

from __future__ import annotations

import re
from itertools import pairwise

import lxml.html
import pytest
from golden.mails import LOCALES, NAMES, rendered
from lxml.html import HtmlElement

from mailer.rendering import CompiledMessage
from mailer.services.mails.samples import PICTURES, sample_message, sample_reader

MAILS = {
    (name, locale): {path.suffix: text for path, text in rendered(name, locale)}[".html"]
    for name in NAMES
    for locale in LOCALES
}  # fmt: skip


@pytest.fixture(params=sorted(MAILS), ids="-".join)
def mail(request: pytest.FixtureRequest) -> tuple[str, str, HtmlElement]:
    locale = request.param[1]
    source = MAILS[request.param]
    return locale, source, lxml.html.document_fromstring(source)


def test_language_and_direction_stand_on_the_page_and_on_its_wrapper(
    mail: tuple[str, str, HtmlElement],
) -> None:
    locale, _, page = mail
    wanted = {"en": "ltr", "ar": "rtl"}[locale]
    for element in (page, page.find(".//div[@role='article']")):
        assert (element.get("lang"), element.get("dir")) == (locale, wanted)
    assert page.findtext(".//title").strip()


def test_there_is_one_h1_and_no_level_is_skipped(mail: tuple[str, str, HtmlElement]) -> None:
    levels = [int(e.tag[1]) for e in mail[2].iter("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_tables_are_for_layout_and_pictures_have_words(mail: tuple[str, str, HtmlElement]) -> None:
    page = mail[2]
    assert all(table.get("role") == "presentation" for table in page.iter("table"))
    for picture in page.iter("img"):
        assert picture.get("alt")
        assert picture.get("width").isdigit()
        assert picture.get("height").isdigit()
        assert picture.get("src").endswith((".jpg", ".png"))


def test_sizes_are_attributes_where_html_has_them_and_pixels_or_shares(
    mail: tuple[str, str, HtmlElement],
) -> None:
    for element in mail[2].iter():
        for name in {"width", "height", "bgcolor"} & set(element.keys()):
            assert element.tag in ("table", "tr", "td", "th", "img"), (element.tag, name)
            if name != "bgcolor":  # Outlook reads these, and nothing else
                assert re.fullmatch(r"[1-9]\d*%?", element.get(name)), (element.tag, name)
    assert "600" in {table.get("width") for table in mail[2].iter("table")}


def test_styles_are_small_and_survive_and_nothing_is_fetched(
    mail: tuple[str, str, HtmlElement],
) -> None:
    source = mail[1]
    styles = "".join(style.text for style in mail[2].iter("style"))
    assert len(styles.encode()) <= 16_384
    for query in ("prefers-color-scheme: dark", "max-width: 480px", "!important"):
        assert query in styles
    assert "<!--[if mso]>" in source
    assert "@font-face" not in source
    assert "<script" not in source
    assert len(source.encode()) < 90_000


def test_a_right_to_left_mail_really_mirrors() -> None:
    source = MAILS["story", "ar"]
    assert "←" in source
    assert "→" not in source
    assert "letter-spacing" not in source.split("<body")[1].replace("letter-spacing:0", "")
    assert "text-transform: uppercase" not in source
    assert "margin-right: 24px" in MAILS["confirmation", "ar"].replace(
        "margin-right:24px", "margin-right: 24px"
    )
    assert "→" in MAILS["story", "en"]


def test_a_button_is_one_in_outlook_too() -> None:
    button = re.search(r'<a class="button.*?</a>', MAILS["confirmation", "en"], re.DOTALL)
    assert button is not None
    assert button.group().count("[if mso]") == 2


def themed(**theme: str) -> CompiledMessage:
    pictures = {picture: f"https://news.example/{picture}.jpg" for picture in PICTURES}
    return sample_message("digest", "en", own_templates=None, pictures=pictures, theme=theme)


def test_a_theme_changes_colours_fonts_logo_and_footer() -> None:
    message = themed(
        accent="#0f766e", font="modern", logo="https://a.test/logo.png", logo_alt="The <Weekly>",
        logo_width="180", footer="Printed & read\nin Kassa",
    )  # fmt: skip
    html = message.preview_html(sample_reader())
    page = lxml.html.document_fromstring(html)
    logo = page.find(".//h1//img")
    assert (logo.get("alt"), logo.get("width")) == ("The <Weekly>", "180")
    assert "#9a3412" not in html
    assert "Georgia" not in html
    assert "Printed &amp; read<br>in Kassa" in html
    assert "Printed & read\r\nin Kassa" in message.preview_text(sample_reader())
