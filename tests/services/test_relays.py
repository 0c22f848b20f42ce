"""Many relays: which one takes a mail, and what happens when it does not work."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import building as b
import pytest
from processes import until
from sqlalchemy import Connection, select, update

from mailer.domain.deliveries import Lane
from mailer.domain.relays import RelayKind, RelayUse
from mailer.domain.replies import Reply, Stage
from mailer.services.delivery import allotting
from mailer.services.delivery.allotting import Request, allot
from mailer.services.delivery.relays import (
    Scope,
    WarmUp,
    add_relay,
    list_relays,
    remove_relay,
    use_relay,
)
from mailer.services.delivery.sending import Access, Sender
from mailer.services.installation.alive import say_alive
from mailer.services.newsletters.lookup import NotFound
from mailer.services.newsletters.newsletters import BadValue
from mailer.store.ledger import Claimed, claim
from mailer.store.models import Relay, RelayDay, RelayState, attempt, delivery
from mailer.store.relays import RelayRow, relay_rows
from mailer.store.sealing import BrokenSeal, Sealer
from mailer.transports import ConnectFailed, Refused
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

DOWN = ConnectFailed(Stage.CONNECT, "no connection: refused")
URL = "smtp://127.0.0.1:25?tls=none"


@dataclass
class Relays:
    """Relays in memory by name; the default one is there from the beginning."""

    parts: Parts
    limits: dict[str, Any] = field(default_factory=dict)
    by_name: dict[str, MemoryTransport] = field(
        default_factory=lambda: {"default": MemoryTransport(name="default")}
    )

    def add(self, name: str, **more: Any) -> MemoryTransport:
        """Add one by its row."""
        with self.parts.sessions.begin() as session:
            add_relay(
                session, name=name, url=URL, sealer=self.parts.sealer, now=self.parts.now(), **more
            )
        self.by_name[name] = MemoryTransport(name=name)
        return self.by_name[name]

    def open(self, row: RelayRow) -> Access:
        """Return the transport of a row."""
        return b.access(self.by_name[row.name], kind=RelayKind(row.kind), **self.limits)

    def sender(self) -> Sender:
        """Return a sender over all of them that is not started."""
        return b.sender_of(self.parts, self.open)

    def send(self) -> dict[str, int]:
        """Send whatever is due; return how much each relay has taken in all."""
        sender = self.sender()
        sender.start()
        try:
            assert sender.idle.wait(30), "the sender did not come to rest"
        finally:
            sender.stop()
        return self.taken()

    def taken(self) -> dict[str, int]:
        """Return how many mails each relay has taken."""
        return {name: len(relay.accepted) for name, relay in self.by_name.items()}

    def make_due(self, *, forget: bool = True) -> None:
        """Let time pass: what waits is due and, where it is to be so, no back-off stands."""
        past = self.parts.now() - timedelta(seconds=1)
        with self.parts.sessions.begin() as session:
            if forget:
                session.execute(update(RelayState).values(back_off_until=past))
            queued = delivery.c.state == "queued"
            session.execute(update(delivery).where(queued).values(next_at=past))


@pytest.fixture
def relays(parts: Parts) -> Relays:
    return Relays(parts)


def test_the_preferred_relay_takes_everything_while_it_works(relays: Relays) -> None:
    b.sending_campaign(relays.parts, 20)
    relays.add("spare")
    relays.add("better", preference=-1)
    assert relays.send() == {"default": 0, "spare": 0, "better": 20}


def test_a_lane_and_a_newsletter_have_their_own_relay(relays: Relays) -> None:
    parts = relays.parts
    weekly = b.sending_campaign(parts, 5)
    with parts.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        other = b.newsletter(session, "other")
        b.sign_up(parts, session, made, "new@readers.test", now=parts.now())
        b.sign_up(parts, session, other, "elsewhere@readers.test", now=parts.now())
    relays.add("quick", scope=Scope(lane=Lane.TRANSACTIONAL))
    relays.add("others", scope=Scope(newsletter=other))
    assert relays.send() == {"default": 5, "quick": 1, "others": 1}
    assert set(b.states(parts, weekly).values()) == {"sent"}


def test_when_the_first_relay_is_down_the_next_in_order_takes_over(relays: Relays) -> None:
    b.sending_campaign(relays.parts, 30)
    spare = relays.add("spare")
    relays.by_name["default"].refuses_connections = DOWN
    relays.send()
    relays.make_due(forget=False)
    relays.send()
    assert len(spare.accepted) == 30
    assert len({envelope.recipient for envelope, _ in spare.accepted}) == 30
    with relays.parts.sessions() as session:
        assert set(session.scalars(select(delivery.c.attempts))) <= {0, 1}
        (default,) = [row for row in list_relays(session, now=b.NOW) if row["name"] == "default"]
    assert "refused" in default["reason"]


def test_a_failed_relay_gets_one_mail_to_show_that_it_works_while_the_next_takes_the_rest(
    relays: Relays,
) -> None:
    default = relays.by_name["default"]
    default.refuses_connections = DOWN
    b.sending_campaign(relays.parts, 3)
    relays.send()
    relays.add("spare")
    relays.make_due()
    with relays.parts.sessions() as session:
        before = len(session.scalars(select(attempt.c.fence)).all())
    relays.send()
    with relays.parts.sessions() as session:
        after = session.execute(select(attempt.c.relay, attempt.c.outcome)).all()
        failures = session.scalars(select(RelayState.failures)).one()
    tried = [relay for relay, outcome in after if outcome == "queued"]
    assert len(tried) == before + 1
    assert failures == 2
    default.refuses_connections = None
    relays.make_due()
    relays.send()
    relays.make_due()
    relays.send()
    assert set(b.states(relays.parts).values()) == {"sent"}
    with relays.parts.sessions() as session:
        assert session.scalars(select(RelayState.failures)).one() == 0


@pytest.mark.parametrize("use", [RelayUse.PAUSED, RelayUse.DRAINING])
def test_a_relay_that_is_not_to_be_used_leaves_its_mails_to_the_next(
    relays: Relays, use: RelayUse
) -> None:
    b.sending_campaign(relays.parts, 10)
    relays.add("spare")
    with relays.parts.sessions.begin() as session:
        use_relay(session, "default", use)
    assert relays.send() == {"default": 0, "spare": 10}


def test_pausing_the_only_relay_in_the_middle_stops_within_two_seconds_and_loses_nothing(
    relays: Relays,
) -> None:
    relays.limits = {"connections": 2, "rate": 100.0}
    b.sending_campaign(relays.parts, 400)
    transport = relays.by_name["default"]
    sender = relays.sender()
    sender.start()
    try:
        until(lambda: len(transport.accepted) > 20, "the first mails")
        with relays.parts.sessions.begin() as session:
            use_relay(session, "default", RelayUse.PAUSED)
        sender.wake()
        until(lambda: sender.idle.is_set(), "rest")
        stopped_at = len(transport.accepted)
        assert stopped_at < 400
        states = set(b.states(relays.parts).values())
        with relays.parts.sessions.begin() as session:
            use_relay(session, "default", RelayUse.ACTIVE)
        sender.wake()
        until(lambda: len(transport.accepted) == 400, "all mails")
    finally:
        sender.stop()
    assert states == {"sent", "queued"}
    assert len({envelope.recipient for envelope, _ in transport.accepted}) == 400


def test_a_relay_that_is_added_and_one_that_is_removed_are_seen_by_a_running_sender(
    relays: Relays,
) -> None:
    sender = relays.sender()
    sender.start()
    try:
        better = relays.add("better", preference=-1)
        b.sending_campaign(relays.parts, 5)
        sender.wake()
        until(lambda: len(better.accepted) == 5, "mails over the new relay")
        with relays.parts.sessions.begin() as session:
            remove_relay(session, "better")
            made = session.scalars(select(b.Newsletter)).one()
            b.sign_up(relays.parts, session, made, "new@readers.test", now=relays.parts.now())
        sender.wake()
        until(lambda: len(relays.by_name["default"].accepted) == 1, "a mail over the other")
    finally:
        sender.stop()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
@pytest.mark.parametrize("end", ["remove", "pause"])
def test_what_was_queued_when_a_relay_was_gone_is_never_claimed_for_it(
    relays: Relays, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = relays.parts
    relays.add("better", preference=-1)
    with parts.sessions.begin() as session:
        b.newsletter(session)

    def end_it_and_claim(connection: Connection, **more: Any) -> list[Claimed]:
        """Let an operator come between the look at the relays and the look at the mails."""
        with parts.sessions.begin() as other:
            if end == "remove":
                remove_relay(other, "better")
            else:
                use_relay(other, "better", RelayUse.PAUSED)
            made = other.scalars(select(b.Newsletter)).one()
            b.sign_up(parts, other, made, "new@readers.test", now=parts.now())
        return claim(connection, **more)

    monkeypatch.setattr(allotting, "claim", end_it_and_claim)
    with parts.sessions.begin() as session:
        better = session.scalars(select(Relay.id).where(Relay.name == "better")).one()
        config = relays.open(next(row for row in _rows(parts) if row.id == better)).config
        request = Request(better, config, "test", 100, timedelta(minutes=1))
        assert not allot(session, request, now=parts.now()).batch
    assert b.states(parts) == {"new@readers.test": "queued"}


def _rows(parts: Parts) -> list[RelayRow]:
    with parts.sessions() as session:
        return relay_rows(session, now=parts.now())


def test_a_relay_that_is_warming_up_takes_its_share_of_the_day_and_the_next_takes_the_rest(
    relays: Relays,
) -> None:
    fresh = relays.add("fresh", preference=-1, warm_up=WarmUp(8, growth=2.0))
    b.sending_campaign(relays.parts, 30)
    assert relays.send() == {"default": 22, "fresh": 8}
    assert len(fresh.accepted) == 8
    with relays.parts.sessions.begin() as session:
        (row,) = [
            each for each in list_relays(session, now=relays.parts.now()) if each["sent_today"]
        ]
        assert (row["standing"], row["left_today"]) == ("full for today", 0)
        begun = relays.parts.now() - timedelta(days=2)
        session.execute(update(Relay).where(Relay.name == "fresh").values(warm_up_since=begun))
        (row,) = [
            each for each in list_relays(session, now=relays.parts.now()) if each["sent_today"]
        ]
        assert (row["standing"], row["left_today"]) == ("works", 8 * 4 - 8)


def test_what_a_relay_that_is_warming_up_did_not_get_after_all_is_not_counted(
    relays: Relays,
) -> None:
    relays.add("fresh", preference=-1, warm_up=WarmUp(100))
    relays.by_name["fresh"].refuses_connections = DOWN
    b.sending_campaign(relays.parts, 30)
    relays.send()
    with relays.parts.sessions() as session:
        assert session.scalars(select(RelayDay.taken)).one() <= 4  # one for each connection


def test_the_connections_of_a_relay_are_shared_by_the_workers_that_live(relays: Relays) -> None:
    relays.limits = {"connections": 8, "max_connections": 6}
    with relays.parts.sessions.begin() as session:
        for name in ("test", "another", "third"):
            say_alive(session, name, "send", now=relays.parts.now())
    b.sending_campaign(relays.parts, 60)
    assert relays.send() == {"default": 60}
    assert relays.by_name["default"].connections <= 2


def test_a_relay_that_says_too_fast_goes_on_more_slowly(relays: Relays) -> None:
    campaign_id = b.sending_campaign(relays.parts, 5)
    slow = Refused(Stage.MAIL, Reply(454, "4.7.0", "Throttling failure: sending rate exceeded"))
    relays.limits = {"connections": 1}
    relays.by_name["default"].script = {"reader4@readers.test": [slow]}
    relays.send()
    assert b.campaign_state(relays.parts, campaign_id) == "sending"
    with relays.parts.sessions() as session:
        (row,) = list_relays(session, now=relays.parts.now())
        assert row["slowed_to"] >= 1.0
        assert row["standing"] == "left alone"
        assert set(session.scalars(select(delivery.c.attempts))) == {0, 1}
    relays.make_due()
    relays.send()
    assert set(b.states(relays.parts).values()) == {"sent"}


def test_a_relays_password_stands_sealed_in_the_database(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        relay = add_relay(
            session, name="ses", url="smtps://user:s%40cret:1@mail.test:465", sealer=parts.sealer,
            now=b.NOW,
        )  # fmt: skip
        assert relay.url == "smtps://user@mail.test:465"
        assert relay.sealed_password
        assert "cret" not in relay.sealed_password
        assert parts.sealer.open(relay.sealed_password) == "s%40cret:1"
        with pytest.raises(BrokenSeal, match="MAILER_SECRET_KEY"):
            Sealer([b"another key"]).open(relay.sealed_password)


def test_what_cannot_be_done_with_relays_is_said_in_a_sentence(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        with pytest.raises(BadValue, match="MAILER_SMTP_URL"):
            remove_relay(session, "default")
        with pytest.raises(NotFound, match="there are default"):
            use_relay(session, "nowhere", RelayUse.PAUSED)
        with pytest.raises(BadValue, match="already"):
            add_relay(session, name="default", url=URL, sealer=parts.sealer, now=b.NOW)
        with pytest.raises(BadValue, match="at least 1 mail"):
            add_relay(
                session, name="cold", url=URL, sealer=parts.sealer, warm_up=WarmUp(0), now=b.NOW
            )
