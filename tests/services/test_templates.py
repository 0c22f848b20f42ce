"""A template that fails is told, and mails nobody."""

import building as b
import pytest
from babel.dates import format_date

from mailer.domain.errors import Refusal
from mailer.services.campaigns.course import (
    start_campaign,
)
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.digests.digests import (
    add_digest,
)
from mailer.services.mails.previewing import preview
from mailer.wiring import Parts


def test_a_template_that_cannot_be_rendered_pauses_the_campaign_and_mails_nobody(
    parts: Parts,
) -> None:
    own = parts.settings.home / "templates" / "broken"
    own.mkdir(parents=True)
    for part in ("subject.txt", "preheader.txt", "body.html", "body.txt"):
        (own / part).write_text("{{ nobody.knows }}")
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        campaign = create_campaign(
            session, made, purpose="updates", subject="News", template="broken",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        )  # fmt: skip
        start_campaign(session, campaign, now=b.NOW)
        campaign_id = campaign.id
    with pytest.raises(Refusal, match="nobody"):
        b.prepare_campaign(
            parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now,
            pause=lambda: None,
        )  # fmt: skip
    assert b.campaign_state(parts, campaign_id) == "paused"
    assert b.states(parts) == {}


def test_a_digest_may_use_a_template_of_the_operators_own(sqlite_parts: Parts) -> None:
    own = sqlite_parts.settings.home / "templates" / "mine"
    own.mkdir(parents=True)
    for part in ("subject.txt", "preheader.txt", "body.html", "body.txt"):
        (own / part).write_text("x")
    with sqlite_parts.sessions.begin() as session:
        made = b.newsletter(session)
        values = {"purpose": "updates", "cron": "0 7 * * FRI", "renderer": sqlite_parts.renderer}
        add_digest(session, made, slug="own", template="mine", now=b.NOW, **values)
        with pytest.raises(Refusal, match="no template “other”"):
            add_digest(session, made, slug="other", template="other", now=b.NOW, **values)


@pytest.mark.parametrize(
    "body",
    [
        "{{ 1 / 0 }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 'a'.encode('?') }}",
        "{{ '2026-01-01' | long_date('xx', 'UTC') }}", "{{ 'x' * 10**9 }}", "{{ 9**999999 }}",
        "{{ articles[99].title }}", "{{ ''.__class__.__mro__ }}",
    ],
)  # fmt: skip
def test_a_template_that_fails_in_any_way_pauses_the_campaign(
    sqlite_parts: Parts, body: str
) -> None:
    own = sqlite_parts.settings.home / "templates" / "bad"
    own.mkdir(parents=True)
    for part in ("subject.txt", "preheader.txt", "body.html", "body.txt"):
        (own / part).write_text(body if part == "body.html" else "x")
    with sqlite_parts.sessions.begin() as session:
        made = b.newsletter(session)
        campaign = create_campaign(
            session, made, purpose="updates", subject="News", template="bad",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        )  # fmt: skip
        start_campaign(session, campaign, now=b.NOW)
        campaign_id = campaign.id
    with pytest.raises(Refusal, match=r"bad/body\.html"):
        b.prepare_campaign(
            sqlite_parts.sessions, campaign_id, renderer=sqlite_parts.renderer,
            now=sqlite_parts.now, pause=lambda: None,
        )  # fmt: skip
    assert b.campaign_state(sqlite_parts, campaign_id) == "paused"


def test_a_campaign_speaks_the_language_of_its_newsletter(sqlite_parts: Parts) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = b.newsletter(session)
        made.locale = "fr"
        campaign = create_campaign(
            session, made, purpose="updates", subject="News",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        )  # fmt: skip
        seen = preview(session, campaign, sqlite_parts.renderer, now=b.NOW)
    assert "Se désinscrire en un clic" in seen.html
    assert "Se désinscrire en un clic [2]" in seen.text
    assert format_date(b.NOW, "long", locale="fr") in seen.text
    assert "Story 0" in seen.text  # what the newsroom wrote stays as it is


def test_a_file_of_the_operators_own_is_seen_as_soon_as_it_is_there(sqlite_parts: Parts) -> None:
    own = sqlite_parts.settings.home / "templates"
    with sqlite_parts.sessions.begin() as session:
        made = b.newsletter(session)
        campaign = create_campaign(
            session, made, purpose="updates", subject="News",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        )  # fmt: skip

        def text() -> str:
            return preview(session, campaign, sqlite_parts.renderer, now=b.NOW).text

        assert "OURS" not in text()
        (own / "_layout").mkdir(parents=True)
        (own / "_layout" / "footer.txt").write_text("OURS {{ links.unsubscribe }}\n")
        assert "OURS" in text()
        (own / "_layout" / "footer.txt").unlink()
        assert "OURS" not in text()
