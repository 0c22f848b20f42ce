"""A worker sends nothing that has errors: it holds the campaign, and a person decides."""

from __future__ import annotations

import shutil

import building as b
import pytest
from sqlalchemy import func, select

from mailer.domain.errors import Refusal
from mailer.rendering.environment import built_in_folder
from mailer.services.campaigns.course import resume_campaign
from mailer.services.campaigns.gate import held_campaigns, waive
from mailer.services.digests.digests import add_digest, begin_run, run_digest
from mailer.services.operations.overview import overview
from mailer.store.models import Campaign, Digest, Variant
from mailer.wiring import Parts

LEAVE = "{{ links.unsubscribe }}"


@pytest.fixture
def held(parts: Parts) -> int:
    """A digest whose own template has lost the link to leave; its campaign's number."""
    own = parts.settings.home / "templates" / "friday"
    shutil.copytree(built_in_folder() / "digest", own)
    (own / "body.html").write_text("<p>{{ newsletter.postal_address }}</p>")
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 2)
        b.articles(session, made, 3)
        digest = add_digest(
            session, made, slug="friday", purpose="updates", cron="0 7 * * FRI", template="friday",
            renderer=parts.renderer, now=b.NOW,
        )  # fmt: skip
        ran = run_digest(session, begin_run(digest), now=b.NOW)
        campaign = ran.campaign.id
    with pytest.raises(Refusal, match=r"is held. .*no link to leave"):
        prepare(parts, campaign)
    return campaign


def prepare(parts: Parts, campaign: int) -> int:
    return b.prepare_campaign(
        parts.sessions, campaign, renderer=parts.renderer, now=lambda: b.NOW, pause=lambda: None
    )


def resume(parts: Parts, campaign: int, forced: tuple[str, ...] = ()) -> None:
    with parts.sessions.begin() as session:
        found = session.get_one(Campaign, campaign)
        resume_campaign(session, found, now=b.NOW)
        waive(found, forced, now=b.NOW)


def test_a_digest_with_errors_is_held_before_its_first_mail_and_says_why(
    parts: Parts, held: int
) -> None:
    assert b.states(parts) == {}
    with parts.sessions() as session:
        (shown,) = overview(session, now=b.NOW)["campaigns"]
        assert shown["state"] == "paused"
        assert "unsubscribe: There is no link to leave." in shown["reason"]
        assert f"`mailer campaign resume {held} --force`" in shown["reason"]
        outcome = session.scalars(select(Digest.last_outcome)).one()
        assert outcome.startswith(f"campaign {held} is held: The check found an error.")
        assert [number for number, _ in held_campaigns(session)] == [held]
    resume(parts, held)
    with pytest.raises(Refusal, match="no link to leave"):
        prepare(parts, held)
    assert b.states(parts) == {}


def test_a_held_digest_goes_when_its_template_is_mended(parts: Parts, held: int) -> None:
    shutil.rmtree(parts.settings.home / "templates" / "friday")
    shutil.copytree(built_in_folder() / "digest", parts.settings.home / "templates" / "friday")
    resume(parts, held)
    assert prepare(parts, held) == 2
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Variant)) == 1


def test_a_held_digest_goes_as_it_is_on_somebodys_word(parts: Parts, held: int) -> None:
    resume(parts, held, forced=("unsubscribe",))
    assert prepare(parts, held) == 2
    assert b.campaign_state(parts, held) == "sending"
