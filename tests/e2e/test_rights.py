"""A reader asks for everything, gets it, asks to be forgotten, and is: in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import building as b
import pytest
from e2e.test_accessibility import NOT_OF_MAILS, violations
from e2e.test_reader import mail_to
from playwright.sync_api import Browser, Page

from mailer.locales import translations
from mailer.rendering.documents import personal_data_html
from mailer.services.privacy.personal_data import personal_data
from mailer.services.privacy.rights import day_of
from mailer.store.models import Subscriber
from mailer.wiring import Parts

ADA = "reader0@readers.test"


def _link_in(page: Page, site: Parts, subject: str) -> str:
    mail = mail_to(site, ADA, subject)
    page.goto(f"{site.settings.public_url}/inbox/{mail.id}")
    link = page.frame_locator("iframe.mail").locator("a.button").get_attribute("href")
    assert link
    return link


@pytest.mark.parametrize("script", [True, False], ids=["with-javascript", "without-javascript"])
def test_a_reader_asks_for_everything_and_then_to_be_forgotten(
    site: Parts, browser: Browser, tmp_path: Path, script: bool
) -> None:
    with site.sessions.begin() as session:
        b.readers(site, session, session.get_one(b.Newsletter, 1), 1)
    context = browser.new_context(java_script_enabled=script)
    page = context.new_page()
    page.set_default_timeout(20_000)
    preferences = site.links.preferences(1, 1)
    page.goto(preferences)
    page.click("text=Send me everything you know about me")
    assert ADA in page.inner_text("[role=status]")

    page.goto(_link_in(page, site, "Your data"))
    with page.expect_download() as download:
        page.click("text=Download for programs")
    download.value.save_as(tmp_path / "ada.json")
    assert json.loads((tmp_path / "ada.json").read_text())["person"]["email"] == ADA
    with page.expect_download() as download:
        page.click("text=Download to read")
    assert download.value.suggested_filename.endswith(".html")
    download.value.save_as(tmp_path / "ada.html")
    page.goto((tmp_path / "ada.html").as_uri())
    assert page.inner_text("h1") == "Everything that is kept about you"
    assert ADA in page.inner_text("main")

    page.goto(preferences)
    page.click("text=Delete everything about me")
    link = _link_in(page, site, "Delete everything")
    page.goto(link)
    assert page.inner_text("li") == "The Weekly"
    page.click("button")
    assert page.inner_text("h1") == "You are forgotten"
    page.goto(link)
    assert page.inner_text("h1") == "You are forgotten"
    page.goto(preferences)
    assert page.inner_text("h1") == "This link does not work"
    with site.sessions() as session:
        assert session.get(Subscriber, 1) is None
    context.close()


@pytest.mark.parametrize("locale", ["en", "ar"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_these_pages_mails_and_documents_can_be_used_by_everybody(
    site: Parts, browser: Browser, scheme: Literal["light", "dark"], locale: str
) -> None:
    with site.sessions.begin() as session:
        made = session.get_one(b.Newsletter, 1)
        made.locale = locale
        b.readers(site, session, made, 1)
        b.sign_up(site, session, made, ADA, ("partner-promotions",), now=site.now())
    context = browser.new_context(
        color_scheme=scheme, bypass_csp=True, viewport={"width": 320, "height": 700}
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    today = day_of(site.now())
    preferences, old = site.links.preferences(1, 1), site.links.export(1, 1, today - 9)
    for address in (
        preferences,
        site.links.export(1, 1, today),
        site.links.erase(1, 1, today),
        old,
    ):
        page.goto(address)
        assert violations(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, address
    say = translations(locale).gettext
    for words, subject in (
        (say("Send me everything you know about me"), say("Your data: %(newsletter)s")),
        (say("Delete everything about me"), say("Delete everything about you? %(newsletter)s")),
    ):
        subject = subject % {"newsletter": "The Weekly"}
        page.goto(preferences)
        page.click(f"text={words}")
        assert violations(page) == [], words
        mail = mail_to(site, ADA, subject)
        page.set_content(mail.part("html"))
        assert violations(page, without=NOT_OF_MAILS) == [], subject
    with site.sessions() as session:
        reader = session.get_one(Subscriber, 1)
        document = personal_data(session, reader, site.practice, now=site.now())
    page.set_content(personal_data_html(document, locale=locale, timezone="Africa/Lagos"))
    for summary in page.locator("summary").all():
        summary.click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.goto(site.links.erase(1, 1, today))
    page.click("button")
    assert violations(page) == []
    context.close()
