"""Pages and mails against WCAG 2.2 AA by axe: light and dark, left to right and right to left."""

from __future__ import annotations

from typing import Literal

import building as b
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from mailer.services.mails.previewing import preview
from mailer.wiring import Parts

STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NOT_OF_MAILS = ("landmark-one-main", "region")
"""A mail stands inside the mail program's own page, which has the landmarks."""


def violations(page: Page, without: tuple[str, ...] = ()) -> list[str]:
    """Return what axe finds, one line each."""
    rules = {rule: {"enabled": False} for rule in without}
    options = {"runOnly": STANDARDS, "rules": rules}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("locale", ["en", "ar"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_and_mails_can_be_used_by_everybody(
    site: Parts, browser: Browser, scheme: Literal["light", "dark"], locale: str
) -> None:
    with site.sessions.begin() as session:
        made = session.get_one(b.Newsletter, 1)
        made.locale = locale
        b.publish_notice(session, made, locale=locale, text=b.WORDING, now=b.NOW)
        b.readers(site, session, made, 1)
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="The news", now=site.now(),
            article_ids=b.articles(session, made, 3),
        )  # fmt: skip
        html = preview(session, campaign, site.renderer, now=site.now()).html
        b.start_campaign(session, campaign, now=site.now())
        number = campaign.id
    b.prepare_campaign(
        site.sessions, number, renderer=site.renderer, now=site.now, pause=lambda: None
    )
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    home = site.settings.public_url
    for address in (
        f"{home}/n/weekly", f"{home}/n/weekly/archive", f"{home}/inbox", f"{home}/nowhere",
        site.links.preferences(1, 1), site.links.unsubscribe(1, 1),
    ):  # fmt: skip
        page.goto(address)
        assert violations(page) == [], address
    page.set_content(html)
    assert page.locator("html").get_attribute("dir") == {"en": "ltr", "ar": "rtl"}[locale]
    assert violations(page, without=NOT_OF_MAILS) == []
    context.close()
