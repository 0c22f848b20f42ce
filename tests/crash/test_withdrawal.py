"""A reader leaves at every offset of a campaign: no content begins whose gate was not open before.

Whoever is still before the gate when the withdrawal is committed is `withdrawn`, and the relay
never sees a byte of theirs. Whoever was past it had an open gate, and the content follows within
seconds.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import building as b
import pytest
from crash.wrong import RecordsAfterSending
from processes import until
from sink import Sink, accepted_by, noted, sink_in_a_thread
from sqlalchemy import select

from mailer.domain.consent import Method
from mailer.domain.relays import RelayConfig, Security
from mailer.services.consent.preferences import leave
from mailer.services.delivery.ledger_desk import LedgerDesk
from mailer.services.delivery.sending import Access
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


class Leavers:
    """Readers who leave while a campaign runs; the relay tells when, and has no trouble of it."""

    def __init__(self, parts: Parts) -> None:
        self.left: dict[str, Left] = {}
        self._parts = parts
        with parts.sessions() as session:
            statement = select(Subscriber.email, Subscriber.id).order_by(Subscriber.id)
            self._ids: dict[str, int] = dict(session.execute(statement).all())
        self._order = list(self._ids)

    def trouble(self, stage: str, line: str) -> str | None:
        """Hear what the relay hears, and make it no trouble."""
        raise NotImplementedError

    @contextmanager
    def live(self) -> Iterator[None]:
        """Leave while the campaign runs, and end with it."""
        yield

    def _leave(self, address: str) -> None:
        subscriber_id = self._ids[address]
        token = self._parts.links.unsubscribe(1, subscriber_id).rpartition("/")[2]
        evidence = Evidence(Method.ONE_CLICK)
        with self._parts.sessions.begin() as session:
            assert leave(session, self._parts.signer, token, evidence, now=self._parts.now())
            found = select(delivery.c.state).where(delivery.c.subscriber_id == subscriber_id)
            state = session.execute(found).scalar_one()
        self.left[address] = Left(state, time.monotonic())


class LeaveAtOffsets(Leavers):
    """One reader leaves whenever one more mail has been accepted.

    Always the one whose turn is closest: `ahead` of the mails that are accepted, so that the
    withdrawal races the gate.
    """

    def __init__(self, parts: Parts, ahead: int) -> None:
        super().__init__(parts)
        self._ahead = ahead
        self._accepted = 0
        self._turns: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def trouble(self, stage: str, line: str) -> str | None:
        """Count what is accepted."""
        if stage == "DOT":
            self._accepted += 1
            self._turns.put(self._accepted)
        return None

    @contextmanager
    def live(self) -> Iterator[None]:
        """Leave in a thread of its own; all turns are taken, the last ones after the end."""
        thread = threading.Thread(target=self._take_turns)
        thread.start()
        try:
            yield
        finally:
            self._turns.put(None)
            thread.join()

    def _take_turns(self) -> None:
        while (offset := self._turns.get()) is not None:
            place = offset + self._ahead + len(self.left)
            if place < len(self._order):
                self._leave(self._order[place])


class LeaveWhenOffered(Leavers):
    """Every third reader leaves while the relay is being offered their mail: before the gate.

    The relay answers when the withdrawal is committed, so that nothing is left to chance.
    """

    def trouble(self, stage: str, line: str) -> str | None:
        """Let the recipient leave before the relay answers."""
        address = line.partition("<")[2].partition(">")[0]
        if stage == "RCPT" and address in self.leaving and address not in self.left:
            self._leave(address)
        return None

    @property
    def leaving(self) -> set[str]:
        """Who leaves."""
        return set(self._order[::3])


def _play(
    parts: Parts, file: Path, leavers: Leavers, *, desk: type[LedgerDesk] = LedgerDesk
) -> None:
    """Send a campaign while readers leave."""
    with leavers.live(), sink_in_a_thread(_sink(file, leavers)) as port:
        config = RelayConfig("127.0.0.1", port, Security.NONE, connections=CONNECTIONS)
        sender = b.sender_of(
            parts, lambda _: Access(SmtpTransport(config, hello="test"), config), desk=desk
        )
        sender.start()
        try:
            ended = {"sent", "withdrawn"}
            until(
                lambda: set(b.states(parts).values()) <= ended and sender.idle.is_set(),
                "the campaign's end",
            )
        finally:
            sender.stop()


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
    b.sending_campaign(parts, readers)
    leavers = LeaveAtOffsets(parts, ahead)
    _play(parts, file, leavers)
    states, accepted = b.states(parts), accepted_by(file)
    withdrawn = {address for address, state in states.items() if state == "withdrawn"}
    figures({"withdrawals": len(leavers.left), "in time": len(withdrawn), "too late": 0})
    assert _too_late(leavers, file) == set()
    assert len(leavers.left) >= readers / 3, "at every offset while somebody is left"
    assert withdrawn == {each for each, left in leavers.left.items() if left.state == "withdrawn"}
    assert withdrawn == set(states) - set(accepted)
    assert max(accepted.values()) == 1


def test_who_leaves_while_the_mail_is_being_offered_gets_nothing(
    parts: Parts, tmp_path: Path
) -> None:
    file = tmp_path / "accepted"
    b.sending_campaign(parts, 30)
    leavers = LeaveWhenOffered(parts)
    _play(parts, file, leavers)
    assert _too_late(leavers, file) == set()
    assert set(b.states(parts)) - set(accepted_by(file)) == set(leavers.left) == leavers.leaving


def test_the_account_finds_a_sender_that_asks_no_gate(sqlite_parts: Parts, tmp_path: Path) -> None:
    file = tmp_path / "accepted"
    b.sending_campaign(sqlite_parts, 30)
    leavers = LeaveWhenOffered(sqlite_parts)
    _play(sqlite_parts, file, leavers, desk=RecordsAfterSending)
    assert _too_late(leavers, file) == leavers.leaving


def _sink(file: Path, leavers: Leavers) -> Sink:
    """Return one that is slow enough for somebody to leave in between."""
    return Sink(file, leavers.trouble, pause=0.02)
