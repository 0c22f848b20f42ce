"""The archive: what was sent, and nothing else."""

from __future__ import annotations

import building as b
from sqlalchemy import select
from starlette.testclient import TestClient

from mailer.services.campaign_course import cancel_campaign
from mailer.services.campaigns import send_test
from mailer.wiring import Parts


def test_the_archive_shows_what_was_sent_and_leads_to_no_readers_links(
    client: TestClient, sqlite_parts: Parts
) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        b.readers(sqlite_parts, session, made, 1)
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="News",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        )  # fmt: skip
        public_id, campaign_id = campaign.public_id, campaign.id
    assert client.get(f"/a/{public_id}").status_code == 404
    with sqlite_parts.sessions.begin() as session:
        b.start_campaign(session, session.get_one(b.Campaign, campaign_id), now=b.NOW)
    b.prepare_campaign(
        sqlite_parts.sessions, campaign_id, renderer=sqlite_parts.renderer,
        now=sqlite_parts.now, pause=lambda: None,
    )  # fmt: skip
    page = client.get(f"/a/{public_id}")
    assert "Story 0" in page.text
    assert "sandbox" in page.headers["content-security-policy"]
    assert "/u/preview" in page.text
    assert client.post("/u/preview", data={"List-Unsubscribe": "One-Click"}).status_code == 404


def test_a_draft_that_was_cancelled_is_not_in_the_archive(
    client: TestClient, sqlite_parts: Parts
) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="Secret",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        )  # fmt: skip
        campaign_id, public_id = campaign.id, campaign.public_id
    send_test(
        sqlite_parts.sessions, campaign_id, b.parse_address("desk@news.test"),
        renderer=sqlite_parts.renderer, suppression_key=sqlite_parts.suppression_key,
        now=sqlite_parts.now(),
    )  # fmt: skip
    with sqlite_parts.sessions.begin() as session:
        cancel_campaign(session, session.get_one(b.Campaign, campaign_id), now=b.NOW)
    assert client.get(f"/a/{public_id}").status_code == 404
