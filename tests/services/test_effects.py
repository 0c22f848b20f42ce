"""What follows from settlements: in one order, and none is lost for another's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import building as b
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.domain.suppression import SuppressionReason
from mailer.services.delivery.ledger_desk import LedgerDesk
from mailer.services.delivery.visits import Effect, LedgerSilent, Told
from mailer.store.ledger import Gated, GateRequest, Settlement, claim, exchange
from mailer.store.models import RelayState, Suppression
from mailer.store.relays import ITSELF, back_off, default_relay
from mailer.store.suppressions import suppress
from mailer.wiring import Parts

LEASE = timedelta(minutes=1)


@pytest.fixture
def sent(parts: Parts) -> list[Settlement]:
    """Four mails that the relay has taken, of which nothing is written down yet."""
    b.sending_campaign(parts, 4)
    with parts.sessions.begin() as session:
        claimed = claim(session.connection(), worker="w", limit=4, lease=LEASE)
        requests = [GateRequest(each.id, each.period, each.fence) for each in claimed]
        _, gated = exchange(session.connection(), [], requests, lease=LEASE)
        assert set(gated.values()) == {Gated.OPEN}
    return [
        Settlement(each.id, each.period, each.fence, DeliveryState.SENT, "r", "dot", "250 ok")
        for each in claimed
    ]


def one_round(
    parts: Parts, sent: Sequence[Settlement], *effects: tuple[Effect, ...]
) -> list[Told | BaseException]:
    """Bring every mail with its effects to the desk at once; return what it answers."""

    async def visit() -> list[Told | BaseException]:
        desk = LedgerDesk(parts.engine, parts.sessions, lease=LEASE)
        visits = [
            asyncio.create_task(desk.visit(settlement, effects=follows))
            for settlement, follows in zip(sent, effects, strict=False)
        ]
        await asyncio.sleep(0)  # now all of them wait, and the round begins
        desk.open()
        try:
            return list(await asyncio.gather(*visits, return_exceptions=True))
        finally:
            await asyncio.to_thread(desk.close)

    return asyncio.run(visit())


def suppressing(hashed: str) -> Effect:
    def act(session: Session) -> None:
        suppress(session, hashed, SuppressionReason.HARD_BOUNCE, now=b.NOW)

    return Effect(("reader", len(hashed), hashed), act)


def suppressed(parts: Parts) -> list[str]:
    with parts.sessions() as session:
        return sorted(session.scalars(select(Suppression.address_hash)))


def test_only_the_effect_at_fault_is_lost(parts: Parts, sent: list[Settlement]) -> None:
    def fails(_: Session) -> None:
        raise RuntimeError("a mistake of ours")

    answers = one_round(
        parts, sent,
        (suppressing("a"),), (Effect(("reader", 1, "b"), fails),), (suppressing("c"),),
    )  # fmt: skip
    assert answers == [Told((True,), None)] * 3
    assert suppressed(parts) == ["a", "c"]
    assert sorted(b.states(parts).values()) == ["sending", "sent", "sent", "sent"]


def test_what_has_followed_already_does_not_follow_twice_when_the_database_goes_away_between(
    parts: Parts, sent: list[Settlement]
) -> None:
    calls: dict[str, int] = {}

    def counted(name: str, act: Callable[[Session, int], None]) -> Effect:
        def run(session: Session) -> None:
            calls[name] = calls.get(name, 0) + 1
            act(session, calls[name])

        return Effect(("reader", 1, name), run)

    def at_fault(_: Session, call: int) -> None:
        raise RuntimeError(f"a mistake of ours, {call}")

    def away_once(session: Session, call: int) -> None:
        if call == 1:
            raise OperationalError("", {}, Exception("server closed the connection"))
        suppressing("c").act(session)

    effects = [
        counted("a", lambda session, _: suppressing("a").act(session)),
        counted("b", at_fault),
        counted("c", away_once),
    ]
    answers = one_round(parts, sent, *((each,) for each in effects))
    assert all(isinstance(each, LedgerSilent) for each in answers)
    assert suppressed(parts) == ["a", "c"]
    assert calls == {"a": 2, "b": 2, "c": 2}  # each once together with the others, and once alone
    assert sorted(b.states(parts).values()) == ["sending", "sent", "sent", "sent"]


def test_rows_are_locked_in_one_order_whoever_comes_first(
    parts: Parts, sent: list[Settlement]
) -> None:
    """Two workers that back off two providers in two orders would each wait for the other."""
    with parts.sessions.begin() as session:
        relay = default_relay(session)
    order: list[str] = []

    def backing_off(provider: str) -> Effect:
        def act(session: Session) -> None:
            order.append(provider)
            back_off(session, relay, "421 no", now=parts.now(), provider=provider)

        return Effect(("relay", relay, provider), act)

    one_round(
        parts, sent, (backing_off("yahoo"), backing_off(ITSELF)), (backing_off("google"),),
        (backing_off("yahoo"),), (backing_off(ITSELF), backing_off("google")),
    )  # fmt: skip
    assert order == [ITSELF, ITSELF, "google", "google", "yahoo", "yahoo"]
    with parts.sessions() as session:
        failures = dict(session.execute(select(RelayState.provider, RelayState.failures)).all())
    assert failures == {ITSELF: 1, "google": 1, "yahoo": 1}
