"""The ledger's desk, when the database is away for a while."""

from collections.abc import Sequence

import building as b
import pytest
from processes import until
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError

from mailer.domain.deliveries import DeliveryState
from mailer.domain.replies import Reply, Stage
from mailer.services import ledger_desk
from mailer.store.ledger import GateRequest, Settlement, exchange
from mailer.store.models import Suppression
from mailer.transports import Refused
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", ["settle", "gate"])
def test_what_a_relay_said_is_not_forgotten_when_a_round_fails(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, what: str, when: str
) -> None:
    """Before: nothing was written. After: it was committed, and only the answer was lost."""
    if when == "after" and parts.engine.dialect.name == "sqlite":
        pytest.skip("SQLite is no server: the answer to a COMMIT cannot get lost")
    b.sending_campaign(parts, 8)
    rounds = 0

    def flaky(
        connection: Connection,
        settlements: Sequence[Settlement],
        requests: Sequence[GateRequest],
        **more: object,
    ) -> object:
        nonlocal rounds
        rounds += bool(settlements) if what == "settle" else bool(requests)
        fails = rounds == 2 and (settlements if what == "settle" else requests)
        if fails and when == "before":
            rounds += 1
            raise OperationalError("", {}, Exception("server closed the connection"))
        answer = exchange(connection, settlements, requests, **more)  # type: ignore[arg-type]
        if fails:
            rounds += 1
            raise OperationalError("", {}, Exception("server closed the connection"))
        return answer

    monkeypatch.setattr(ledger_desk, "exchange", flaky)
    transport = MemoryTransport()
    sender = b.make_sender(parts, transport)
    sender.start()
    try:
        until(lambda: set(b.states(parts).values()) == {"sent"}, "all to be sent")
    finally:
        sender.stop()
    recipients = [envelope.recipient for envelope, _ in transport.accepted]
    assert len(recipients) == len(set(recipients)) == 8


def test_a_dead_address_is_suppressed_though_the_database_was_away_when_it_was_told(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    b.sending_campaign(parts, 4)
    failures = 0

    def flaky(
        connection: Connection,
        settlements: Sequence[Settlement],
        requests: Sequence[GateRequest],
        **more: object,
    ) -> object:
        nonlocal failures
        dead = any(each.state is DeliveryState.FAILED for each in settlements)
        if dead and failures < 2:
            failures += 1
            raise OperationalError("", {}, Exception("server closed the connection"))
        return exchange(connection, settlements, requests, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger_desk, "exchange", flaky)
    dead = Refused(Stage.RCPT, Reply(550, "5.1.1", "no such user"))
    sender = b.make_sender(parts, MemoryTransport(script={"reader1@readers.test": [dead]}))
    sender.start()
    try:
        until(
            lambda: sorted(b.states(parts).values()) == ["failed", "sent", "sent", "sent"],
            "all to be settled",
        )
    finally:
        sender.stop()
    assert failures == 2
    with parts.sessions() as session:
        assert session.scalars(select(Suppression.reason)).all() == ["hard-bounce"]
