"""The archive: what was sent, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import building as b
import feedparser
import pytest
from lxml import html as lxml_html
from sqlalchemy import select
from starlette.testclient import TestClient

from mailer.services.campaigns.course import cancel_campaign
from mailer.services.campaigns.drafts import send_test
from mailer.store.models import Canary
from mailer.web import archive
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


def _sent(parts: Parts, count: int) -> list[int]:
    """Send `count` campaigns, a minute apart; return their numbers, oldest first."""
    with parts.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        b.readers(parts, session, made, 1)
        article_ids = b.articles(session, made, 1)
        campaigns = [
            b.create_campaign(
                session, made, purpose="updates", subject=f"News & {number}",
                article_ids=article_ids, now=b.NOW,
            )
            for number in range(count)
        ]  # fmt: skip
        for number, campaign in enumerate(campaigns):
            b.start_campaign(session, campaign, now=b.NOW + timedelta(minutes=number))
        ids = [campaign.id for campaign in campaigns]
    for campaign_id in ids:
        b.prepare_campaign(
            parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now,
            pause=lambda: None,
        )  # fmt: skip
    return ids


def _picture(page: str) -> str:
    (found,) = lxml_html.fromstring(page).xpath("//meta[@property='og:image']/@content")
    return str(found)


def _subjects(page: str) -> list[str]:
    return [each.text_content() for each in lxml_html.fromstring(page).findall(".//h2")]


def test_the_list_goes_from_the_newest_to_the_oldest_page_by_page(
    client: TestClient, sqlite_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_PER_PAGE", 2)
    _sent(sqlite_parts, 3)
    first = client.get("/n/weekly/archive")
    assert _subjects(first.text) == ["News & 2", "News & 1"]
    (older,) = lxml_html.fromstring(first.text).xpath("//nav/a/@href")
    rest = client.get(f"/n/weekly/archive{older}")
    assert _subjects(rest.text) == ["News & 0"]
    assert lxml_html.fromstring(rest.text).xpath("//nav/a/@href") == ["/n/weekly/archive"]
    assert client.get("/n/weekly/archive?before=nothing").status_code == 404
    assert client.get("/n/none/archive").status_code == 404


def test_the_feed_has_the_issues_and_is_not_sent_again_unchanged(
    client: TestClient, sqlite_parts: Parts
) -> None:
    assert "Nothing has been sent yet" in client.get("/n/weekly/archive").text
    _sent(sqlite_parts, 2)
    answer = client.get("/n/weekly/archive.xml")
    assert answer.headers["content-type"].startswith("application/rss+xml")
    told = feedparser.parse(answer.content)
    assert [entry.title for entry in told.entries] == ["News & 1", "News & 0"]
    page = client.get(told.entries[0].link.removeprefix(sqlite_parts.links.public_url))
    head = lxml_html.fromstring(page.text).find("head")
    assert head.xpath("meta[@property='og:title']/@content") == ["News & 1"]
    assert head.xpath("link[@rel='canonical']/@href") == [told.entries[0].link]
    again = client.get("/n/weekly/archive.xml", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_what_was_stopped_or_is_still_tried_out_is_not_listed(
    client: TestClient, sqlite_parts: Parts
) -> None:
    stopped, tried, sent = _sent(sqlite_parts, 3)
    with sqlite_parts.sessions.begin() as session:
        cancel_campaign(session, session.get_one(b.Campaign, stopped), now=b.NOW)
        for number in (stopped, sent):  # one picture of ours, one of before we kept any
            campaign = session.get_one(b.Campaign, number)
            image = {"file": "ab12.jpg"} if number == sent else {"url": "https://old.test/i.jpg"}
            articles = [{**each, "image": image} for each in campaign.content["articles"]]
            campaign.content = {**campaign.content, "articles": articles}
        session.get_one(b.Campaign, tried).canary = Canary(
            size=1, failed_limit=0, wait_seconds=60, bound=None
        )
        public_id = session.get_one(b.Campaign, stopped).public_id
        other = session.get_one(b.Campaign, sent).public_id
    assert _subjects(client.get("/n/weekly/archive").text) == ["News & 2"]
    # Who has the mail of one that was stopped can open its page all the same.
    pictures = {each: _picture(client.get(f"/a/{each}").text) for each in (public_id, other)}
    ours = sqlite_parts.links.image("ab12.jpg")
    assert pictures == {public_id: "https://old.test/i.jpg", other: ours}
