"""A reader's whole life in a real browser, against a real server: sign up, confirm, read, leave."""

from __future__ import annotations

import re
from collections.abc import Iterator

import building as b
import pytest
from playwright.sync_api import Browser, Page
from processes import until

from mailer.transports.capture import CaughtMail
from mailer.wiring import Parts


@pytest.fixture(params=[False, True], ids=["with-javascript", "without-javascript"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=not request.param)
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def mail_to(parts: Parts, address: str, subject: str) -> CaughtMail:
    found: list[CaughtMail] = []

    def look() -> bool:
        assert parts.mailbox
        mails = parts.mailbox.latest(50)
        found.extend(mail for mail in mails if address in mail.to and subject in mail.subject)
        return bool(found)

    until(look, f"a mail to {address}")
    return found[0]


def test_a_reader_signs_up_confirms_reads_chooses_and_leaves(site: Parts, page: Page) -> None:
    home = site.settings.public_url
    page.goto(f"{home}/n/weekly")
    assert b.WORDING in page.inner_text(".notice")
    assert page.locator("input[type=checkbox]:checked").count() == 0
    page.fill("#email", "ada@readers.test")
    page.click("button[type=submit]")
    assert "tick at least one" in page.inner_text("[role=alert]")
    page.check("input[value=updates]")
    page.click("button[type=submit]")
    assert "a mail is on its way" in page.inner_text("[role=status]")

    asked = mail_to(site, "ada@readers.test", "confirm")
    page.goto(f"{home}/inbox/{asked.id}")
    link = page.frame_locator("iframe.mail").locator("a.button").get_attribute("href")
    assert link
    page.goto(link)
    assert "Updates from the newsroom" in page.inner_text("ul")
    page.click("button[type=submit]")
    assert page.inner_text("h1") == "You are in"

    with site.sessions.begin() as session:
        made = session.get_one(b.Newsletter, 1)
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="The news", now=site.now(),
            article_ids=b.articles(session, made, 3),
        )  # fmt: skip
        b.start_campaign(session, campaign, now=site.now())
        campaign_id = campaign.id
    b.prepare_campaign(
        site.sessions, campaign_id, renderer=site.renderer, now=site.now, pause=lambda: None
    )
    news = mail_to(site, "ada@readers.test", "The news")
    page.goto(f"{home}/inbox/{news.id}")
    frame = page.frame_locator("iframe.mail")
    assert frame.locator("h2").first.inner_text() == "Story 0"
    preferences = frame.locator("a", has_text="Preferences").get_attribute("href")
    archive = frame.locator("a", has_text="View in browser").get_attribute("href")
    assert preferences
    assert archive

    page.goto(archive)
    assert page.locator("h2").first.inner_text() == "Story 0"
    page.goto(preferences)
    page.check("input[value=partner-promotions]")
    page.click("button:has-text('Save')")
    assert page.locator("input[type=checkbox]:checked").count() == 2

    leave = re.search(r"<(http[^>]+)>", str(news.message["List-Unsubscribe"]))
    assert leave
    page.goto(leave.group(1))
    page.click("button[type=submit]")
    assert page.inner_text("h1") == "You have left"
    page.goto(preferences)
    assert page.locator("input[type=checkbox]:checked").count() == 0


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_pages_and_mails_fit_every_screen(site: Parts, browser: Browser, width: int) -> None:
    with site.sessions.begin() as session:
        made = session.get_one(b.Newsletter, 1)
        b.readers(site, session, made, 1)
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="The news", now=site.now(),
            article_ids=b.articles(session, made, 3),
        )  # fmt: skip
        for article in campaign.content["articles"]:
            article["image"] = {
                "url": "https://nowhere.test/x.jpg", "alt": "A picture that is not there",
                "caption": "A caption", "credit": "EPA", "width": 1200, "height": 800,
            }  # fmt: skip
        b.start_campaign(session, campaign, now=site.now())
        campaign_id, public_id = campaign.id, campaign.public_id
    b.prepare_campaign(
        site.sessions, campaign_id, renderer=site.renderer, now=site.now, pause=lambda: None
    )
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    home = site.settings.public_url
    token_page = site.links.preferences(1, 1)
    for address in (f"{home}/a/{public_id}", f"{home}/n/weekly", f"{home}/inbox", token_page):
        page.goto(address)
        # The archive's sandbox runs no script, so that the layout is asked by its box.
        box = page.locator("body").bounding_box()
        table = page.locator("table.sheet, main").first.bounding_box()
        assert box
        assert table
        assert table["x"] + table["width"] <= width + 0.5, address
    context.close()
