"""Who leaves, or is suppressed, while their mail is planned, leased or with the relay."""

from datetime import timedelta

import building as b
import pytest
from sqlalchemy import select, update

from mailer.domain.consent import Method
from mailer.domain.deliveries import DeliveryState
from mailer.services.consent.preferences import leave
from mailer.store.consents import Evidence
from mailer.store.ledger import (
    Gated,
    GateRequest,
    Settlement,
    claim,
    exchange,
)
from mailer.store.models import Subscriber, Suppression, delivery
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts


def _leave(parts: Parts, subscriber_id: int) -> None:
    token = parts.links.unsubscribe(1, subscriber_id).rpartition("/")[2]
    with parts.sessions.begin() as session:
        assert leave(session, parts.signer, token, Evidence(Method.ONE_CLICK), now=parts.now())


def test_who_leaves_after_planning_gets_nothing_more(parts: Parts) -> None:
    b.sending_campaign(parts, 3)
    _leave(parts, 2)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert sorted(b.states(parts).values()) == ["sent", "sent", "withdrawn"]
    assert all(envelope.recipient != "reader1@readers.test" for envelope, _ in transport.accepted)


def test_who_leaves_while_the_mail_is_leased_gets_nothing_more(parts: Parts) -> None:
    b.sending_campaign(parts, 1)
    with parts.sessions.begin() as session:
        claimed = claim(session.connection(), worker="other", limit=5, lease=timedelta(minutes=1))
        assert [item.email for item in claimed] == ["reader0@readers.test"]
    _leave(parts, 1)
    with parts.sessions.begin() as session:
        request = GateRequest(claimed[0].id, claimed[0].period, claimed[0].fence)
        _, gated = exchange(session.connection(), [], [request], lease=timedelta(minutes=1))
    assert gated == {claimed[0].id: Gated.LEASE_LOST}
    assert b.states(parts) == {"reader0@readers.test": "withdrawn"}


@pytest.mark.parametrize(("scope", "reaches"), [("all", True), ("weekly", True), ("other", False)])
def test_a_suppression_reaches_as_far_as_its_scope(parts: Parts, scope: str, reaches: bool) -> None:
    with parts.sessions.begin() as session:
        other = b.newsletter(session, "other")  # whose deliveries come first
        b.readers(parts, session, other, 3)
        campaign = b.create_campaign(
            session, other, purpose="updates", subject="Other",
            article_ids=b.articles(session, other, 1), now=parts.now(),
        )  # fmt: skip
        b.start_campaign(session, campaign, now=parts.now())
        other_id = campaign.id
    b.prepare_campaign(
        parts.sessions, other_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    weekly_id = b.sending_campaign(parts, 2)
    with parts.sessions.begin() as session:
        hashed = session.scalars(
            select(Subscriber.address_hash).where(Subscriber.email == "reader0@readers.test")
        ).one()
        row = {"address_hash": hashed, "scope": scope, "reason": "operator", "detail": ""}
        session.add(
            Suppression(created_at=b.NOW, **row)
        )  # so that the gate alone stands in its way
    b.send_all(parts, MemoryTransport())
    states = b.states(parts, weekly_id)
    assert states["reader0@readers.test"] == ("suppressed" if reaches else "sent")
    assert states["reader1@readers.test"] == "sent"


def test_who_leaves_while_the_relay_has_the_mail_gets_no_second_try(parts: Parts) -> None:
    """The withdrawal cannot end what is past its gate; the next gate does."""
    b.sending_campaign(parts, 1)
    minute = timedelta(minutes=1)
    for gate in (Gated.OPEN, Gated.CLOSED):
        with parts.sessions.begin() as session:
            session.execute(update(delivery).values(next_at=b.NOW - timedelta(days=365)))
            (one,) = claim(session.connection(), worker="w", limit=1, lease=minute)
            request = GateRequest(one.id, one.period, one.fence)
            _, gated = exchange(session.connection(), [], [request], lease=minute)
            assert gated == {one.id: gate}
        if gate is Gated.OPEN:
            _leave(parts, 1)
            again = Settlement(
                one.id, one.period, one.fence, DeliveryState.QUEUED, "r", "dot", "451 later"
            )
            with parts.sessions.begin() as session:
                assert exchange(session.connection(), [again], [], lease=minute)[0] == [True]
    assert set(b.states(parts).values()) == {"withdrawn"}
