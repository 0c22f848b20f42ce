"""Receiving providers behind a direct relay: one that turns us away holds up no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import building as b
import pytest
from processes import until
from sqlalchemy import func, select, update

from mailer.domain.relays import RelayKind
from mailer.domain.replies import Reply, Stage
from mailer.services.delivery.providers import hold_provider, list_providers, release_provider
from mailer.services.delivery.sending import Sender
from mailer.services.installation.alive import say_alive
from mailer.services.newsletters.lookup import NotFound
from mailer.store.ledger import OF_NO_CAMPAIGN, put_off, sources
from mailer.store.models import RelayState, attempt, delivery
from mailer.transports import Refused
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

GO_AWAY = Refused(Stage.RCPT, Reply(421, "4.7.28", "unusual rate of mail from your network"))
DOMAINS = ("busy.test", "calm.test", "quiet.test")


def _send(parts: Parts, transport: MemoryTransport, **limits: object) -> Counter[str]:
    b.send_all(parts, transport, kind=RelayKind.DIRECT, **limits)
    return _taken(transport)


def _taken(transport: MemoryTransport) -> Counter[str]:
    """Return how many mails each domain has got."""
    return Counter(envelope.recipient.partition("@")[2] for envelope, _ in transport.accepted)


@contextmanager
def _running(parts: Parts, transport: MemoryTransport, worker: str = "test") -> Iterator[Sender]:
    sender = b.sender_of(parts, lambda _: b.access(transport, kind=RelayKind.DIRECT), worker=worker)
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()


def _let_time_pass(parts: Parts) -> None:
    """Let every back-off be over, and what waits be due."""
    past = parts.now() - timedelta(seconds=1)
    with parts.sessions.begin() as session:
        session.execute(update(RelayState).values(back_off_until=past))
        session.execute(update(delivery).where(delivery.c.state == "queued").values(next_at=past))


def _tries(parts: Parts) -> int:
    with parts.sessions() as session:
        return session.scalars(select(func.count()).where(attempt.c.outcome == "queued")).one()


def test_who_turns_us_away_is_left_alone_and_the_others_get_their_mails(parts: Parts) -> None:
    b.sending_campaign(parts, 90, DOMAINS)
    transport = MemoryTransport(turned_away={"busy.test": GO_AWAY})
    assert _send(parts, transport) == {"calm.test": 30, "quiet.test": 30}
    assert _tries(parts) <= 4  # one for every connection
    with parts.sessions() as session:
        (standing,) = list_providers(session, now=parts.now())
        assert (standing.provider, standing.failures) == ("busy.test", 1)
        assert standing.left_alone_until is not None
        assert standing.left_alone_until > parts.now() + timedelta(minutes=8)
        assert "unusual rate" in standing.reason
        assert set(session.scalars(select(delivery.c.attempts))) == {0, 1}
    states = Counter(b.states(parts).values())
    assert states == {"sent": 60, "queued": 30}


def test_it_is_tried_with_one_mail_and_longer_left_alone_when_that_fails(parts: Parts) -> None:
    b.sending_campaign(parts, 30, DOMAINS)
    transport = MemoryTransport(turned_away={"busy.test": GO_AWAY})
    _send(parts, transport)
    before = _tries(parts)
    _let_time_pass(parts)
    _send(parts, transport)
    assert _tries(parts) == before + 1
    with parts.sessions() as session:
        (standing,) = list_providers(session, now=parts.now())
        assert standing.failures == 2
    transport.turned_away.clear()
    _let_time_pass(parts)
    assert _send(parts, transport)["busy.test"] >= 1
    _let_time_pass(parts)
    assert _send(parts, transport)["busy.test"] == 10
    with parts.sessions() as session:
        (standing,) = list_providers(session, now=parts.now())
        assert standing.failures == 0
        assert standing.rate is not None, "it goes on more slowly than before"


def test_no_two_workers_try_it_at_once(parts: Parts) -> None:
    b.sending_campaign(parts, 40, ("busy.test",))
    transport = MemoryTransport(turned_away={"busy.test": GO_AWAY})
    _send(parts, transport)
    before = _tries(parts)
    with parts.sessions.begin() as session:
        for name in ("one", "two"):
            say_alive(session, name, "send", now=parts.now())
    _let_time_pass(parts)
    with _running(parts, transport, "one") as one, _running(parts, transport, "two") as two:
        until(lambda: one.idle.is_set() and two.idle.is_set(), "rest")
        until(lambda: _tries(parts) > before, "the probe")
    assert _tries(parts) == before + 1


def test_one_reader_whom_the_provider_greylists_is_not_held_against_it(parts: Parts) -> None:
    b.sending_campaign(parts, 20, ("busy.test",))
    later = Refused(Stage.RCPT, Reply(451, "4.7.1", "Greylisting in action, please come back"))
    assert _send(parts, MemoryTransport(script={"reader3@busy.test": [later]})) == {"busy.test": 19}
    with parts.sessions() as session:
        assert list_providers(session, now=parts.now()) == []


def test_a_provider_that_an_operator_holds_gets_nothing_until_it_is_released(parts: Parts) -> None:
    b.sending_campaign(parts, 60, DOMAINS)
    with parts.sessions.begin() as session:
        assert hold_provider(session, "Busy.test", now=parts.now()) == ("busy.test", True)
        assert hold_provider(session, "busy.test", now=parts.now()) == ("busy.test", False)
    transport = MemoryTransport()
    b.send_all(parts, transport)  # over a relay that queues, too
    assert _taken(transport) == {"calm.test": 20, "quiet.test": 20}
    with parts.sessions() as session:
        (standing,) = list_providers(session, now=parts.now())
        assert standing.held_since is not None
    assert release_provider(parts.sessions, "busy.test") == ("busy.test", 20)
    b.send_all(parts, transport)
    assert _taken(transport)["busy.test"] == 20
    with pytest.raises(NotFound, match="provider list"):
        release_provider(parts.sessions, "busy.test")


def test_what_is_put_off_and_let_go_is_due_as_it_was_before(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 30, DOMAINS)
    with parts.sessions.begin() as session:
        before = dict(session.execute(select(delivery.c.id, delivery.c.next_at)).all())
        connection = session.connection()
        (source,) = [each for each in sources(connection) if each.campaign_id == campaign_id]
        held = {"busy.test": 600.0}
        assert put_off(connection, source, held, limit=4) == 4
        assert put_off(connection, source, held, limit=100) == 6
        assert put_off(connection, source, held, limit=100) == 0
        assert put_off(connection, OF_NO_CAMPAIGN, held, limit=100) == 0
        later = select(func.count()).where(delivery.c.next_at > parts.now() + timedelta(minutes=9))
        assert session.scalar(later) == 10
    with parts.sessions.begin() as session:
        hold_provider(session, "busy.test", now=parts.now())
    assert release_provider(parts.sessions, "busy.test")[1] == 10
    with parts.sessions() as session:
        assert dict(session.execute(select(delivery.c.id, delivery.c.next_at)).all()) == before


def test_the_rate_of_every_provider_is_kept_and_shared_by_the_workers(parts: Parts) -> None:
    b.sending_campaign(parts, 60, DOMAINS)
    with parts.sessions.begin() as session:
        for name in ("test", "another"):
            say_alive(session, name, "send", now=parts.now())
    transport = MemoryTransport()
    began = parts.now()
    _send(parts, transport, provider_rate=20.0)
    assert (parts.now() - began).total_seconds() > 20 / 10 * 0.7  # this worker's share: 10 a second
    assert _taken(transport) == dict.fromkeys(DOMAINS, 20)
