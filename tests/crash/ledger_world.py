"""The world of the ledger's state machine: one campaign, what workers know, and the promises.

A `Hand` is what one worker knows of one delivery that it has claimed; it may be stale, and its
worker may tell the same thing twice or die. The relay is a counter per delivery: it says what
really happened, and the ledger's rows must never contradict it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from conftest import settings_for
from hypothesis.stateful import RuleBasedStateMachine, invariant
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import OPEN, DeliveryState, may_follow
from mailer.services.delivery.late_news import take_back
from mailer.store.ledger import Claimed, Gated, GateRequest, Settlement, uncertain
from mailer.store.models import Campaign, delivery
from mailer.wiring import Parts, open_parts

S, C = DeliveryState, CampaignState
LEASE = timedelta(hours=1)  # none runs out by itself: a rule says when
GRACE = timedelta(minutes=15)
LONG_AGO = timedelta(hours=2)
READERS = 5

_SETTLES_FROM = {
    S.SENT: {S.SENDING, S.UNCERTAIN},
    S.UNCERTAIN: {S.SENDING},
    S.FAILED: {S.LEASED, S.SENDING},
    S.QUEUED: {S.LEASED, S.SENDING},
}
_MAY_HAVE_BEEN_ACCEPTED = {S.SENDING, S.UNCERTAIN, S.SENT, S.PRESUMED_SENT}


@dataclass(eq=False)
class Hand:
    """What a worker knows of a delivery that it has claimed."""

    claimed: Claimed
    past_gate: bool = False
    too_late: bool = False
    """Whether the worker's own deadline between gate and body has passed."""
    knows: DeliveryState | None = None
    told: bool = False

    @property
    def request(self) -> GateRequest:
        """What it asks the gate."""
        return GateRequest(self.claimed.id, self.claimed.period, self.claimed.fence)

    @property
    def settlement(self) -> Settlement:
        """What it tells the ledger."""
        assert self.knows is not None
        return Settlement(
            self.claimed.id, self.claimed.period, self.claimed.fence, self.knows,
            "relay", "dot", "said", retry_in=300.0,
        )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A delivery as the database has it."""

    id: int
    subscriber_id: int
    state: DeliveryState
    fence: int
    lease_until: datetime | None
    next_at: datetime
    settled_at: datetime | None


class LedgerWorld(RuleBasedStateMachine):
    """An installation with one campaign that is planned and ready to send."""

    template: Path
    """A database with that campaign."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self._folder / "mailer.db")
        url = f"sqlite:///{self._folder / 'mailer.db'}"
        self.parts: Parts = open_parts(settings_for(url, self._folder / "home"))
        self.parts.engine.dispose()
        event.listen(self.parts.engine, "connect", _hurry)
        self.relay: Counter[int] = Counter()
        self.resent: Counter[int] = Counter()
        self.in_hand: list[Hand] = []
        self.forbidden: set[int] = set()  # readers who have left, or are suppressed
        self.suppressed: set[int] = set()
        self.steps = 0
        self.before = self.rows()
        """The rows as they stood before the rule that runs."""
        self._audience = set(self.before)

    def teardown(self) -> None:
        """Put everything away."""
        self.parts.engine.dispose()
        shutil.rmtree(self._folder)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Open a transaction that commits in the end."""
        with self.parts.sessions.begin() as session:
            yield session

    @contextmanager
    def campaign(self) -> Iterator[tuple[Session, Campaign]]:
        """Open a transaction with the campaign."""
        with self.transaction() as session:
            yield session, session.get_one(Campaign, 1)

    def campaign_state(self) -> CampaignState:
        """Return where the campaign stands."""
        with self.parts.sessions() as session:
            return C(session.get_one(Campaign, 1).state)

    def rows(self) -> dict[int, Row]:
        """Return the deliveries as they stand."""
        columns = ("id", "subscriber_id", "state", "fence", "lease_until", "next_at", "settled_at")
        with self.parts.sessions() as session:
            found = session.execute(select(*(delivery.c[name] for name in columns))).all()
        return {row.id: Row(**{**row._mapping, "state": S(row.state)}) for row in found}

    def states_of(self, reader: int) -> set[DeliveryState]:
        """Return the states of a reader's deliveries."""
        return {row.state for row in self.rows().values() if row.subscriber_id == reader}

    # What must come of it

    def due(self) -> set[int]:
        """Return what may be claimed."""
        now = self.parts.now()
        return {
            row.id
            for row in self.before.values()
            if row.next_at <= now
            and (row.state is S.QUEUED or (row.state is S.LEASED and _is_over(row, now)))
        }

    def may_go(self, hand: Hand) -> bool:
        """Say whether the gate must open."""
        row = self.before[hand.claimed.id]
        return (
            row.state is S.LEASED
            and row.fence == hand.claimed.fence
            and not _is_over(row, self.parts.now())
            and row.subscriber_id not in self.forbidden
            and self.campaign_state() is C.SENDING
        )

    def learns(self, hand: Hand, gated: Gated, may_go: bool) -> None:
        """The gate has answered."""
        assert (gated is Gated.OPEN) == may_go
        hand.past_gate |= gated is Gated.OPEN
        if self.before[hand.claimed.id].fence != hand.claimed.fence:
            assert self.rows()[hand.claimed.id] == self.before[hand.claimed.id]

    def holds(self, hand: Hand) -> bool:
        """Say whether a settlement must be taken."""
        assert hand.knows is not None
        row = self.before[hand.claimed.id]
        return row.fence == hand.claimed.fence and row.state in _SETTLES_FROM[hand.knows]

    def settled(self, hand: Hand, held: bool, holds: bool) -> None:
        """The ledger has answered; what it does not take may be late news, as for the desk."""
        assert held == holds
        hand.told = True
        row, before = self.rows()[hand.claimed.id], self.before[hand.claimed.id]
        if held:
            assert row.state is hand.knows
            return
        assert row == before
        if hand.knows is not S.QUEUED:
            return
        is_news = before.state is S.UNCERTAIN and before.fence == hand.claimed.fence
        with self.transaction() as session:
            assert take_back(session, hand.settlement) == is_news
        if is_news:
            row = self.rows()[hand.claimed.id]
            assert (row.state, row.fence) == (S.QUEUED, before.fence + 1)

    @invariant()
    def the_rows_keep_their_promises(self) -> None:
        """I1, I2, I4 and I5 of every row, and whatever is uncertain is listed: after every step."""
        rows, self.steps = self.rows(), self.steps + 1
        assert set(rows) == self._audience, "nobody is added, nobody is forgotten"
        for row in rows.values():
            old = self.before[row.id]
            assert row.fence >= old.fence, "a fence only rises"
            assert row.state is old.state or may_follow(old.state, row.state)
            assert (row.settled_at is None) == (row.state in OPEN)
            times, resent = self.relay[row.id], self.resent[row.id]
            assert times <= 1 + resent, "twice only by a person's order"
            assert times or row.state is not S.SENT, "sent means that the relay said 250"
            if not resent and row.state not in _MAY_HAVE_BEEN_ACCEPTED:
                assert not times, f"{row.state}, and the relay has it"
        if self.campaign_state() is C.FINISHED:
            assert not any(row.state in OPEN for row in rows.values())
        doubtful = sum(row.state is S.UNCERTAIN for row in rows.values())
        with self.parts.sessions() as session:
            assert uncertain(session) == ([(1, doubtful)] if doubtful else [])
        self.before = rows


def _is_over(row: Row, now: datetime) -> bool:
    return row.lease_until is not None and row.lease_until < now


def _hurry(connection: Any, _: object) -> None:
    """No power fails in this world."""
    connection.execute("PRAGMA synchronous=OFF")
