"""A reader is asked again in a real browser: the mail, the page that says what has changed."""

from __future__ import annotations

from typing import Literal

import building as b
import pytest
from e2e.test_accessibility import NOT_OF_MAILS, violations
from e2e.test_reader import mail_to
from playwright.sync_api import Browser

from mailer.domain.consent import ConsentState, Method
from mailer.services.campaigns.asking import ask_again
from mailer.services.newsletters.notices import current_notice, publish_notice
from mailer.store.consents import Evidence, ShownNotice, record
from mailer.store.models import Newsletter
from mailer.store.readers import find_or_add_reader
from mailer.wiring import Parts


def asked(site: Parts) -> int:
    """Let one reader agree, publish another wording and ask; return the campaign's id."""
    with site.sessions.begin() as session:
        made = session.get_one(Newsletter, 1)
        reader = find_or_add_reader(
            session, b.parse_address("ada@readers.test"), site.suppression_key, now=b.NOW
        )
        shown = current_notice(session, made, "en")
        assert shown
        said = Evidence(Method.CONFIRM)
        record(
            session, reader, made.purposes[0], ConsentState.GIVEN, said, now=b.NOW,
            shown=ShownNotice(shown),
        )  # fmt: skip
    with site.sessions.begin() as session:
        made = session.get_one(Newsletter, 1)
        b.add_purpose(session, made, "exclusives", "Exclusive stories")
        session.refresh(made)
        publish_notice(session, made, locale="en", text="A wording of today.", now=site.now())
        purpose_id = made.purposes[0].id
    [question] = ask_again(
        site.sessions, purpose_id, subject="Please look", send=True, operator="test",
        now=site.now(),
    )  # fmt: skip
    campaign_id = question.campaign.id
    b.prepare_campaign(
        site.sessions, campaign_id, renderer=site.renderer, now=site.now, pause=lambda: None
    )
    return campaign_id


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_a_reader_reads_what_has_changed_and_renews_with_one_button(
    site: Parts, browser: Browser, scheme: Literal["light", "dark"], width: int
) -> None:
    asked(site)
    mail = mail_to(site, "ada@readers.test", "Please look")
    context = browser.new_context(
        color_scheme=scheme, bypass_csp=True, viewport={"width": width, "height": 800}
    )
    page = context.new_page()
    html = mail.message.get_body(("html",)).get_content()  # type: ignore[attr-defined]
    page.set_content(html)
    assert violations(page, without=NOT_OF_MAILS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "A wording of today." in page.inner_text("body")
    link = page.locator("a.button").get_attribute("href")
    assert link
    page.goto(link)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "“Exclusive stories”" in page.inner_text(".changed")
    assert page.locator("input[type=checkbox]:checked").count() == 1
    assert b.consents(site) == [("given", "confirm")]
    page.click("summary")
    assert b.WORDING in page.inner_text("details")
    page.click("button:has-text('Save')")
    assert page.inner_text("[role=status]") == "Saved."
    assert page.locator(".changed").count() == 0
    assert b.consents(site) == [("given", "confirm"), ("renewed", "preferences")]
    context.close()
