"""Seed addresses get what readers get, once, and are no readers."""

from __future__ import annotations

import re

import building as b
import pytest
from sqlalchemy import select

from mailer.domain.addresses import parse_address
from mailer.rendering.documents import personal_data_html
from mailer.services.campaigns.preparing import prepare_campaign
from mailer.services.campaigns.reports import report
from mailer.services.campaigns.seeds import add_seed, copy_to_seeds, list_seeds, remove_seed
from mailer.services.newsletters.lookup import NotFound
from mailer.services.newsletters.newsletters import BadValue
from mailer.services.privacy.erasing import erase
from mailer.services.privacy.personal_data import personal_data_of
from mailer.store.models import Campaign, Newsletter, Seed, delivery
from mailer.store.suppressions import suppress
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

DESK, OTHER = parse_address("desk@news.test"), parse_address("owner@news.test")


def started(parts: Parts, *, suppressed: bool = False) -> int:
    """Start a campaign for two readers and two seeds."""
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 2)
        hashed = [
            add_seed(session, made, address, parts.suppression_key, now=b.NOW)
            for address in (DESK, OTHER, DESK)
        ]
        if suppressed:
            suppress(session, hashed[1], b.SuppressionReason.OPERATOR, now=b.NOW)
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="News", now=b.NOW,
            article_ids=b.articles(session, made, 2),
        )  # fmt: skip
        b.start_campaign(session, campaign, now=parts.now())
        return campaign.id


def prepare(parts: Parts, campaign_id: int) -> None:
    prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )


def recipients(parts: Parts) -> list[str]:
    with parts.sessions() as session:
        rows = select(delivery.c.recipient).where(delivery.c.kind == "test")
        return sorted(session.scalars(rows))


def test_every_seed_gets_a_copy_once_and_counts_as_no_reader(parts: Parts) -> None:
    campaign_id = started(parts)
    copied = copy_to_seeds(parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now())
    assert copied == 2, "an address that was added twice is one seed"
    prepare(parts, campaign_id)
    relay = MemoryTransport()
    b.send_all(parts, relay)
    assert recipients(parts) == [str(DESK), str(OTHER)]
    with parts.sessions() as session:
        found = report(session, session.get_one(Campaign, campaign_id))
        assert (found["audience"], found["counts"]["sent"]) == (2, 2)
    assert sorted(envelope.recipient for envelope, _ in relay.accepted) == [
        str(DESK), str(OTHER), "reader0@readers.test", "reader1@readers.test",
    ]  # fmt: skip
    subjects = {re.search(rb"Subject: .*", content)[0] for _, content in relay.accepted}
    assert len(subjects) == 1


def test_a_seed_that_is_suppressed_gets_nothing(parts: Parts) -> None:
    prepare(parts, started(parts, suppressed=True))
    assert recipients(parts) == [str(DESK)]


def test_a_suppressed_address_cannot_become_a_seed(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        hashed = b.address_hash(DESK, parts.suppression_key)
        suppress(session, hashed, b.SuppressionReason.OPERATOR, now=b.NOW)
        with pytest.raises(BadValue, match="suppressed"):
            add_seed(session, made, DESK, parts.suppression_key, now=b.NOW)


def test_a_seed_that_is_removed_or_forgotten_is_gone(parts: Parts) -> None:
    started(parts)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        told = personal_data_of(session, OTHER, parts.practice, now=b.NOW)
        assert [(role["role"], role["newsletter"]) for role in told["house_roles"]] == [
            ("seed", "weekly")
        ]
        assert "copy of every campaign" in personal_data_html(told, locale="en", timezone="UTC")
        remove_seed(session, made, DESK, parts.suppression_key)
        with pytest.raises(NotFound, match="no seed"):
            remove_seed(session, made, DESK, parts.suppression_key)
        erase(session, OTHER, key=parts.suppression_key, method="cli", now=b.NOW)
        assert list_seeds(session, made) == []
        assert session.scalars(select(Seed)).all() == []
