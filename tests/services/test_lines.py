"""A line under limits: nothing gets stuck, and no limit is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import building as b
import pytest
from processes import until
from sqlalchemy import select, update

from mailer.domain.relays import RelayKind
from mailer.domain.replies import Reply, Stage
from mailer.services.delivery import line as lines
from mailer.services.delivery.sending import Pace
from mailer.services.installation.alive import say_alive
from mailer.store.ledger import OF_NO_CAMPAIGN, put_off
from mailer.store.models import RelayState, delivery
from mailer.store.relays import back_off, default_relay
from mailer.transports import Refused
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

GO_AWAY = Refused(Stage.RCPT, Reply(421, "4.7.28", "unusual rate of mail from your network"))


@pytest.mark.parametrize(
    "limits", [{"rate": 20.0}, {"kind": RelayKind.DIRECT, "provider_rate": 20.0}]
)
def test_a_rate_so_slow_that_leases_would_run_out_in_the_queue_sends_all_the_same(
    sqlite_parts: Parts, limits: dict[str, Any]
) -> None:
    b.sending_campaign(sqlite_parts, 60)
    transport = MemoryTransport()
    access = b.access(transport, **limits)
    pace = Pace(lease=timedelta(seconds=1), look_again=timedelta(milliseconds=50))
    sender = b.sender_of(sqlite_parts, lambda _: access, pace=pace)
    sender.start()
    try:
        until(lambda: len(transport.accepted) == 60, "all mails", 30)
    finally:
        sender.stop()
    assert len({envelope.recipient for envelope, _ in transport.accepted}) == 60


def test_a_look_that_failed_is_no_sign_that_nothing_is_due(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    b.sending_campaign(parts, 10)
    real, failures = lines.allot, [RuntimeError("a hiccup")]

    def allot(*arguments: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*arguments, **more)

    monkeypatch.setattr(lines, "allot", allot)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert len(transport.accepted) == 10


def test_a_worker_whose_share_of_the_connections_is_none_gives_its_mails_back(
    parts: Parts,
) -> None:
    b.sending_campaign(parts, 60)
    transport = MemoryTransport()
    access = b.access(transport, connections=1, max_connections=1, rate=30.0)
    sender = b.sender_of(parts, lambda _: access, worker="b")
    sender.start()
    try:
        until(lambda: len(transport.accepted) > 3, "the first mails")
        with parts.sessions.begin() as session:
            say_alive(session, "a", "send", now=parts.now())
        sender.wake()
        until(lambda: set(b.states(parts).values()) == {"sent", "queued"}, "leases given back")
    finally:
        sender.stop()


def test_a_success_that_was_under_way_does_not_bring_back_a_provider_that_turned_us_away(
    parts: Parts,
) -> None:
    b.sending_campaign(parts, 8, ("busy.test",))
    script = {"reader0@busy.test": [GO_AWAY]}
    b.send_all(parts, MemoryTransport(script=script), kind=RelayKind.DIRECT)
    with parts.sessions() as session:
        state = session.scalars(select(RelayState).where(RelayState.provider == "busy.test")).one()
        assert state.failures == 1
        assert state.back_off_until is not None


def test_what_waits_for_one_newsletters_relay_is_put_off_for_no_other(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        one, other = b.newsletter(session), b.newsletter(session, "other")
        b.sign_up(parts, session, one, "new@busy.test", now=parts.now())
        b.sign_up(parts, session, other, "elsewhere@busy.test", now=parts.now())
        source = OF_NO_CAMPAIGN._replace(newsletter_id=one.id)
        assert put_off(session.connection(), source, {"busy.test": 60.0}, limit=10) == 1
        held = select(delivery.c.newsletter_id).where(delivery.c.held_from.is_not(None))
        assert session.scalars(held).all() == [one.id]


def test_a_relay_that_is_gone_costs_nobody_the_other_effects_of_a_round(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        default_relay(session)
        assert back_off(session, 4711, "421 later", now=parts.now()) == timedelta()
        assert session.scalars(select(RelayState)).all() == []


def test_the_log_holds_no_readers_address_when_something_breaks(
    parts: Parts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    b.sending_campaign(parts, 1)

    def compose(*_: Any, **__: Any) -> Callable[[], None]:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("mailer.services.mails.composing.Composer.compose", compose)
    b.send_all(parts, MemoryTransport())
    said = capsys.readouterr()
    assert "broken on purpose" in said.out + said.err
    assert "reader0@" not in said.out + said.err
    with parts.sessions.begin() as session:
        session.execute(update(delivery).values(state="cancelled"))
