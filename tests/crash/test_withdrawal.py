"""A reader leaves at every offset of a campaign: no content begins whose gate was not open before.

Whoever is still before the gate when the withdrawal is committed is `withdrawn`, and the relay
never sees a byte of theirs. Whoever was past it had an open gate, and the content follows within
seconds.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import building as b
import pytest
from crash.wrong import RecordsAfterSending
from processes import until
from sink import Sink, accepted_by, noted
from sqlalchemy import select

from mailer.domain.consent import Method
from mailer.domain.relays import RelayConfig, Security
from mailer.services.ledger_desk import LedgerDesk
from mailer.services.preferences import leave
from mailer.services.sending import Access
from mailer.store.consents import Evidence
from mailer.store.models import Subscriber, delivery
from mailer.transports.smtp import SmtpTransport
from mailer.wiring import Parts

CONNECTIONS = 3
GATE_TO_BODY = 5.0


@dataclass
class Left:
    """One reader who left: how the delivery stood in the withdrawal's own transaction, and when."""

    state: str
    committed: float


@dataclass
class Leavers:
    """Lets a reader leave whenever one more mail has been accepted.

    Always the one whose turn is closest: `ahead` of the mails that are accepted, so that the
    withdrawal races the gate.
    """

    parts: Parts
    ahead: int
    accepted: int = 0
    left: dict[str, Left] = field(default_factory=dict)
    turns: queue.SimpleQueue[int | None] = field(default_factory=queue.SimpleQueue)

    def trouble(self, stage: str, _line: str) -> str | None:
        """Count as the relay does, and make it none."""
        if stage == "DOT":
            self.accepted += 1
            self.turns.put(self.accepted)
        return None

    def live(self, ids: dict[str, int]) -> None:
        """Let one reader leave at every offset, until told to end."""
        order = list(ids)
        while (offset := self.turns.get()) is not None:
            place = offset + self.ahead + len(self.left)
            if place < len(order):
                self._leave(order[place], ids[order[place]])

    def _leave(self, address: str, subscriber_id: int) -> None:
        token = self.parts.links.unsubscribe(1, subscriber_id).rpartition("/")[2]
        evidence = Evidence(Method.ONE_CLICK)
        with self.parts.sessions.begin() as session:
            assert leave(session, self.parts.signer, token, evidence, now=self.parts.now())
            found = select(delivery.c.state).where(delivery.c.subscriber_id == subscriber_id)
            state = session.execute(found).scalar_one()
        self.left[address] = Left(state, time.monotonic())


@contextmanager
def _sink_beside(file: Path, leavers: Leavers) -> Iterator[int]:
    """Run a sink in a thread of this process, slow enough to leave in between; yields its port."""
    sink = Sink(file, leavers.trouble, pause=0.02)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(sink.start(), loop).result()
    try:
        yield sink.port
    finally:
        asyncio.run_coroutine_threadsafe(sink.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _play(
    parts: Parts, file: Path, readers: int, *, ahead: int, desk: type[LedgerDesk] = LedgerDesk
) -> Leavers:
    """Send a campaign while one reader leaves after every mail."""
    b.sending_campaign(parts, readers)
    with parts.sessions() as session:
        statement = select(Subscriber.email, Subscriber.id).order_by(Subscriber.id)
        ids = dict(session.execute(statement).all())
    leavers = Leavers(parts, ahead)
    thread = threading.Thread(target=leavers.live, args=(ids,))
    thread.start()
    try:
        with _sink_beside(file, leavers) as port:
            config = RelayConfig("127.0.0.1", port, Security.NONE, connections=CONNECTIONS)
            sender = b.sender_of(
                parts, lambda _: Access(SmtpTransport(config, hello="test"), config), desk=desk
            )
            sender.start()
            try:
                ended = {"sent", "withdrawn"}
                until(lambda: set(b.states(parts).values()) <= ended, "the campaign's end")
            finally:
                sender.stop()
    finally:
        leavers.turns.put(None)
        thread.join()
    return leavers


def _too_late(leavers: Leavers, file: Path) -> set[str]:
    """Return whose content began though the withdrawal stood before their gate."""
    began = {entry["to"]: entry["at"] for entry in noted(file, "began")}
    return {
        address
        for address, left in leavers.left.items()
        if address in began
        and (left.state == "withdrawn" or began[address] > left.committed + GATE_TO_BODY)
    }


OFFSETS = [
    *((120, ahead) for ahead in (0, CONNECTIONS)),
    *(pytest.param(600, ahead, marks=pytest.mark.long) for ahead in range(2 * CONNECTIONS)),
]


@pytest.mark.parametrize(("readers", "ahead"), OFFSETS)
def test_who_leaves_at_any_offset_gets_nothing_that_was_not_past_its_gate(
    parts: Parts,
    tmp_path: Path,
    figures: Callable[[dict[str, int]], None],
    readers: int,
    ahead: int,
) -> None:
    file = tmp_path / "accepted"
    leavers = _play(parts, file, readers, ahead=ahead)
    states, accepted = b.states(parts), accepted_by(file)
    withdrawn = {address for address, state in states.items() if state == "withdrawn"}
    figures({"withdrawals": len(leavers.left), "in time": len(withdrawn), "too late": 0})
    assert _too_late(leavers, file) == set()
    assert len(leavers.left) >= readers / 3, "at every offset while somebody is left"
    assert withdrawn == {each for each, left in leavers.left.items() if left.state == "withdrawn"}
    assert withdrawn == set(states) - set(accepted)
    assert max(accepted.values()) == 1


def test_the_offsets_find_a_sender_that_asks_no_gate(sqlite_parts: Parts, tmp_path: Path) -> None:
    leavers = _play(
        sqlite_parts, tmp_path / "accepted", 120, ahead=CONNECTIONS, desk=RecordsAfterSending
    )
    assert _too_late(leavers, tmp_path / "accepted")
