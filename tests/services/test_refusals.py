"""What cannot be is refused before anything is written."""

from datetime import timedelta

import building as b
import pytest

from mailer.domain.errors import Refusal
from mailer.services.articles.articles import read_page
from mailer.services.articles.feeds import add_feed
from mailer.services.campaigns.course import (
    CannotCampaign,
    schedule_campaign,
    start_campaign,
)
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.newsletters.lookup import NotFound
from mailer.services.newsletters.newsletters import BadValue, add_newsletter
from mailer.services.newsletters.notices import BadNotice, publish_notice
from mailer.wiring import Parts


def test_what_cannot_be_is_refused_in_one_sentence(sqlite_parts: Parts) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = b.newsletter(session)
        with pytest.raises(CannotCampaign, match="--article"):
            create_campaign(session, made, purpose="updates", subject="x", now=b.NOW)
        with pytest.raises(NotFound, match="article 99"):
            create_campaign(
                session, made, purpose="updates", subject="x", article_ids=[99], now=b.NOW
            )
        with pytest.raises(NotFound, match="updates, partner-promotions"):
            create_campaign(session, made, purpose="nope", subject="x", html="x", now=b.NOW)
        for image in ("data:image/png;base64,iVBO", "photo.jpg", "/photo.jpg", ""):
            with pytest.raises(CannotCampaign, match="is not on the web"):
                create_campaign(
                    session, made, purpose="updates", subject="x", now=b.NOW,
                    html=f"<p>x</p><img alt='a > b' src='{image}'>",
                )  # fmt: skip
        with pytest.raises(Refusal, match="one line"):
            create_campaign(
                session, made, purpose="updates", subject="x\r\nBcc: y", html="x", now=b.NOW
            )
        bare = add_newsletter(session, slug="bare", name="Bare", sender="a@b.test", now=b.NOW)
        with pytest.raises(BadNotice, match="no purposes"):
            publish_notice(session, bare, locale="en", text="x", now=b.NOW)
        for locale in ("english please", "x", "en\n"):
            with pytest.raises(BadValue, match="is no locale"):
                publish_notice(session, made, locale=locale, text="x", now=b.NOW)
        with pytest.raises(BadNotice, match="has 50,001 characters"):
            publish_notice(session, made, locale="en", text="x" * 50_001, now=b.NOW)
        with pytest.raises(Refusal, match="no file"):
            add_feed(session, bare, "/nowhere/feed.xml")
        with pytest.raises(Refusal, match="cannot be read"):
            read_page("/nowhere/page.html", fetch=b.out_of_reach)
        made.postal_address = ""
        campaign = create_campaign(
            session, made, purpose="updates", subject="x", html="<p>x</p>", now=b.NOW
        )
        with pytest.raises(CannotCampaign, match="postal address"):
            start_campaign(session, campaign, now=b.NOW)
        with pytest.raises(CannotCampaign, match="postal address"):
            schedule_campaign(session, campaign, b.NOW + timedelta(hours=1), now=b.NOW)


def test_one_language_has_one_wording_however_its_code_is_written(sqlite_parts: Parts) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = b.newsletter(session)
        said = [
            publish_notice(session, made, locale=code, text=b.WORDING, now=b.NOW)
            for code in ("en", "EN", "pt_br", "PT-BR", "zh-hans-cn")
        ]
    assert [each.locale for each in said] == ["en", "en", "pt-BR", "pt-BR", "zh-Hans-CN"]
    assert {each.version for each in said} == {1}
