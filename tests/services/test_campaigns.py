"""A campaign's course: every order at every moment, and what readers get of it."""

from datetime import timedelta

import building as b
import pytest
from sqlalchemy import select, update

from mailer.domain.addresses import parse_address
from mailer.services.campaigns.archive import issues_of
from mailer.services.campaigns.course import (
    CannotCampaign,
    cancel_campaign,
    close_ended,
    finish_done,
    pause_campaign,
    resume_campaign,
    schedule_campaign,
    start_campaign,
)
from mailer.services.campaigns.drafts import create_campaign, send_test
from mailer.services.mails.previewing import preview
from mailer.services.newsletters.lookup import NotFound
from mailer.services.newsletters.newsletters import edit_newsletter
from mailer.services.operations.tick import sweep, tick
from mailer.store import ledger
from mailer.store.models import Article, Campaign, Newsletter, delivery
from mailer.store.suppressions import suppress
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts


def draft(parts: Parts) -> int:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        return create_campaign(
            session, made, purpose="updates", subject="News",
            article_ids=b.articles(session, made, 1), now=parts.now(),
        ).id  # fmt: skip


def edit(parts: Parts, **changes: str) -> None:
    with parts.sessions.begin() as session:
        edit_newsletter(session, session.scalars(select(Newsletter)).one(), changes)


def test_what_is_mended_after_a_test_mail_stands_in_the_preview_and_in_what_readers_get(
    parts: Parts,
) -> None:
    campaign_id = draft(parts)
    send_test(
        parts.sessions, campaign_id, parse_address("desk@news.test"), renderer=parts.renderer,
        suppression_key=parts.suppression_key, now=parts.now(),
    )  # fmt: skip
    edit(parts, postal_address="9 New Street")
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert "9 New Street" in preview(session, campaign, parts.renderer, now=parts.now()).text
        start_campaign(session, campaign, now=parts.now())
    b.prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    edit(parts, postal_address="10 Newer Street")
    with parts.sessions() as session:
        campaign = session.get_one(Campaign, campaign_id)
        seen = preview(session, campaign, parts.renderer, now=parts.now()).text
    transport = MemoryTransport()
    b.send_all(parts, transport)
    mails = {envelope.recipient: mail for envelope, mail in transport.accepted}
    assert b"1 Road, Lagos" in mails["desk@news.test"]
    assert b"9 New Street" in mails["reader0@readers.test"]
    assert "9 New Street" in seen


def test_a_test_mail_to_an_address_that_is_suppressed_meanwhile_does_not_go(parts: Parts) -> None:
    campaign_id = draft(parts)
    address = parse_address("desk@news.test")
    hashed = b.address_hash(address, parts.suppression_key)
    for _ in range(2):
        send_test(
            parts.sessions, campaign_id, address, renderer=parts.renderer,
            suppression_key=parts.suppression_key, now=parts.now(),
        )  # fmt: skip
    with parts.sessions.begin() as session:
        suppress(session, hashed, b.SuppressionReason.OPERATOR, now=b.NOW)
        session.execute(update(delivery).where(delivery.c.id == 2).values(
            state="queued", settled_at=None
        ))  # fmt: skip
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert transport.accepted == []
    with parts.sessions() as session:
        assert set(session.scalars(select(delivery.c.state))) == {"suppressed"}


def test_a_newsletter_may_be_edited_in_the_middle(parts: Parts) -> None:
    b.sending_campaign(parts, 2)
    edit(parts, locale="fr", sender="Other <other@news.test>")
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert set(b.states(parts).values()) == {"sent"}
    assert {envelope.sender for envelope, _ in transport.accepted} == {"weekly@news.test"}


def test_a_scheduled_campaign_that_cannot_start_says_why_and_stops_no_other(parts: Parts) -> None:
    stuck = draft(parts)
    with parts.sessions.begin() as session:
        other = b.newsletter(session, "other")
        fine = create_campaign(
            session, other, purpose="updates", subject="Breaking",
            article_ids=b.articles(session, other, 1), now=b.NOW,
        )  # fmt: skip
        for campaign in (session.get_one(Campaign, stuck), fine):
            schedule_campaign(session, campaign, b.NOW + timedelta(hours=1), now=b.NOW)
        session.get_one(Campaign, stuck).newsletter.postal_address = ""
        fine_id = fine.id
    assert tick(parts.sessions, now=lambda: b.NOW + timedelta(hours=2)).campaigns == (fine_id,)
    assert b.campaign_state(parts, stuck) == "paused"
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, stuck)
        assert "postal address" in campaign.paused_reason
        campaign.newsletter.postal_address = "1 Road"
        resume_campaign(session, campaign, now=b.NOW)
    assert stuck in tick(parts.sessions, now=lambda: b.NOW + timedelta(hours=2)).campaigns


def test_time_in_a_pause_is_not_held_against_the_mails(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 3)
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        pause_campaign(session, campaign)
        campaign.ends_at = parts.now() - timedelta(hours=1)
    tick(parts.sessions, now=parts.now)
    sweep(parts.sessions, now=parts.now)
    with parts.sessions.begin() as session:
        resume_campaign(session, session.get_one(Campaign, campaign_id), now=parts.now())
    b.send_all(parts, MemoryTransport())
    assert set(b.states(parts).values()) == {"sent"}


@pytest.mark.parametrize("before", ["queued", "leased"])
def test_what_could_not_be_sent_in_time_is_expired_and_so_is_the_campaign(
    parts: Parts, before: str
) -> None:
    campaign_id = b.sending_campaign(parts, 2)
    long_ago = parts.now() - timedelta(hours=1)
    with parts.sessions.begin() as session:
        session.get_one(Campaign, campaign_id).ends_at = long_ago
        session.execute(update(delivery).values(state=before, lease_until=long_ago))
    transport = MemoryTransport()
    b.send_all(parts, transport)
    tick(parts.sessions, now=parts.now)
    assert transport.accepted == []
    assert set(b.states(parts).values()) == {"expired"}
    assert b.campaign_state(parts, campaign_id) == "expired"


def test_a_mail_of_no_campaign_whose_time_is_over_is_expired_whoever_had_it(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.sign_up(parts, session, b.newsletter(session), "ada@readers.test", now=parts.now())
        long_ago = parts.now() - timedelta(hours=1)
        session.execute(
            update(delivery).values(state="leased", lease_until=long_ago, expires_at=long_ago)
        )
    sweep(parts.sessions, now=parts.now)
    assert set(b.states(parts).values()) == {"expired"}


def test_the_rows_of_a_large_cancelled_campaign_are_closed_bit_by_bit(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger.close, "_BATCH", 2)
    campaign_id = b.sending_campaign(parts, 5)
    with parts.sessions.begin() as session:
        cancelled = session.get_one(Campaign, campaign_id)
        assert cancel_campaign(session, cancelled, now=parts.now()) == 5
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert transport.accepted == []
    assert sorted(b.states(parts).values()).count("cancelled") == 2
    sweep(parts.sessions, now=parts.now)
    assert set(b.states(parts).values()) == {"cancelled"}
    with parts.sessions.begin() as session:
        assert close_ended(session, now=parts.now()) == 0


def test_nothing_of_a_cancelled_campaign_is_tried_again(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 2)
    with parts.sessions.begin() as session:
        failed = {"state": "failed", "settled_at": parts.now()}
        session.execute(update(delivery).where(delivery.c.id == 1).values(failed))
        campaign = session.get_one(Campaign, campaign_id)
        cancel_campaign(session, campaign, now=parts.now())
        with pytest.raises(CannotCampaign, match="is cancelled"):
            b.decide(session, campaign, "retry", parts.now())


def test_a_retry_and_the_end_of_a_campaign_do_not_cross(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 1)
    with parts.sessions.begin() as session:
        session.execute(update(delivery).values(state="failed", settled_at=parts.now()))
    with parts.sessions.begin() as session:
        b.decide(session, session.get_one(Campaign, campaign_id), "retry", parts.now())
        if parts.engine.dialect.name == "postgresql":
            with parts.sessions.begin() as other:
                assert finish_done(other, now=parts.now()) == 0
    b.send_all(parts, MemoryTransport())
    assert set(b.states(parts).values()) == {"sent"}


def test_a_campaign_may_be_spread_over_a_time(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 11)
        campaign = create_campaign(
            session, made, purpose="updates", subject="News",
            article_ids=b.articles(session, made, 1), now=parts.now(),
        )  # fmt: skip
        start_campaign(session, campaign, over=timedelta(hours=10), now=parts.now())
        campaign_id, began = campaign.id, campaign.started_at
        assert began
    b.prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None,
        chunk=4,
    )  # fmt: skip
    with parts.sessions() as session:
        due = session.scalars(select(delivery.c.next_at).order_by(delivery.c.subscriber_id)).all()
        hours = [round((moment - began) / timedelta(hours=1), 3) for moment in due]
        assert hours == [float(hour) for hour in range(11)]
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert [envelope.recipient for envelope, _ in transport.accepted] == ["reader0@readers.test"]


def test_a_campaigns_content_is_frozen_when_it_is_made(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 1)
    with parts.sessions.begin() as session:
        for article in session.scalars(select(Article)):
            article.title = "Changed"
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert b"Story 0" in transport.accepted[0][1]
    assert b"Changed" not in transport.accepted[0][1]
    assert campaign_id


def test_a_paused_campaign_sends_nothing_and_a_resumed_one_the_rest(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 4)
    transport = MemoryTransport()
    with parts.sessions.begin() as session:
        pause_campaign(session, session.get_one(Campaign, campaign_id))
    b.send_all(parts, transport)
    assert transport.accepted == []
    with parts.sessions.begin() as session:
        resume_campaign(session, session.get_one(Campaign, campaign_id), now=parts.now())
    b.send_all(parts, transport)
    assert len(transport.accepted) == 4


def test_a_cancelled_campaign_sends_nothing_and_says_how_many(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 4)
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert cancel_campaign(session, campaign, now=b.NOW) == 4
        with pytest.raises(CannotCampaign, match="cancelled"):
            resume_campaign(session, campaign, now=b.NOW)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert transport.accepted == []
    assert set(b.states(parts).values()) == {"cancelled"}


def test_who_signs_up_after_the_start_is_not_in_the_audience(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 2)
        campaign = create_campaign(
            session, made, purpose="updates", subject="News",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        )  # fmt: skip
        start_campaign(session, campaign, now=b.NOW)
        b.readers(parts, session, made, 5)
        campaign_id = campaign.id
    b.prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None,
        chunk=1,
    )  # fmt: skip
    assert len(b.states(parts)) == 2


def test_an_issue_of_a_name_that_no_database_can_hold_is_not_found(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        with pytest.raises(NotFound):
            issues_of(session, made, parts.links, before="\0", limit=2)
