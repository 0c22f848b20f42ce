"""The standard mails in a browser: light and dark, wide and narrow, in four scripts' languages."""

from __future__ import annotations

from typing import Literal

import pytest
from e2e.test_accessibility import NOT_OF_MAILS, violations
from golden.mails import NAMES
from playwright.sync_api import Browser

from mailer.cli.template_watch import pictures_inside
from mailer.services.mails.samples import sample_message, sample_reader


@pytest.mark.parametrize("locale", ["en", "ar", "am", "ha"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_mail_can_be_read_by_everybody_at_every_width(
    browser: Browser, scheme: Literal["light", "dark"], locale: str
) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    for name in NAMES:
        message = sample_message(name, locale, own_templates=None, pictures=pictures_inside())
        page.set_content(message.preview_html(sample_reader()))
        for width in (600, 320):
            page.set_viewport_size({"width": width, "height": 700})
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} px wide at {width}"
        assert violations(page, without=NOT_OF_MAILS) == [], name
    context.close()


def test_in_arabic_pictures_stand_at_the_right_and_text_begins_there(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 700, "height": 700})
    sides = {}
    for locale in ("en", "ar"):
        message = sample_message("digest", locale, own_templates=None, pictures=pictures_inside())
        page.set_content(message.preview_html(sample_reader()))
        picture, words = page.locator("td.beside").nth(0), page.locator("td.beside").nth(1)
        left, right = picture.bounding_box(), words.bounding_box()
        assert left is not None
        assert right is not None
        sides[locale] = left["x"] < right["x"]
        start = page.locator("p.text").first.evaluate("e => getComputedStyle(e).direction")
        assert start == {"en": "ltr", "ar": "rtl"}[locale]
    assert sides == {"en": True, "ar": False}
    page.close()
