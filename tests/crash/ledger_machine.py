"""The ledger as a state machine: workers, readers, operators and a relay act in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import building as b
from crash.ledger_world import GRACE, LEASE, LONG_AGO, READERS, C, Hand, LedgerWorld, S
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import update

from mailer.domain.consent import ConsentState, Method
from mailer.domain.deliveries import DeliveryState
from mailer.domain.evidence import Finding, Said
from mailer.domain.suppression import SuppressionReason
from mailer.services.campaigns.course import (
    cancel_campaign,
    close_ended,
    finish_done,
    pause_campaign,
    resume_campaign,
)
from mailer.services.consent.preferences import leave
from mailer.services.delivery.reconciling import settle_findings
from mailer.store.consents import Evidence, record
from mailer.store.ledger import (
    claim,
    doubts,
    exchange,
    find_abandoned,
    hand_back,
    recover_abandoned,
)
from mailer.store.models import Purpose, Subscriber, delivery
from mailer.store.suppressions import suppress

READER = st.integers(1, READERS)
ANY = st.integers(0, 20)

# What the relay may do with a content → what the worker then knows, and whether it was accepted.
FATES: dict[str, tuple[DeliveryState, bool]] = {
    "accepts": (S.SENT, True),
    "refuses for good": (S.FAILED, False),
    "refuses for now": (S.QUEUED, False),
    "goes before the dot": (S.QUEUED, False),
    "takes it and goes": (S.UNCERTAIN, True),
    "goes after the dot": (S.UNCERTAIN, False),
    "never asked": (S.QUEUED, False),
}
FATE = st.sampled_from(["accepts", "accepts", "takes it and goes", *FATES])


def _one(hands: Sequence[Hand], number: int) -> Hand:
    """Return one of the hands; the youngest for 0."""
    return hands[-1 - number % len(hands)]


class LedgerMachine(LedgerWorld):
    """Everything that may happen to the deliveries of one campaign.

    Few rules with many variants each: Hypothesis leaves rules out at random, and work must go on.
    """

    # Workers

    @rule(number=ANY, fate=FATE, steps=st.sampled_from([3, 2, 1]))
    def work(self, number: int, fate: str, steps: int) -> None:
        """Some worker takes its next steps with one delivery: gate, content, settlement."""
        if all(hand.told for hand in self.in_hand):
            self.claim(READERS)
            self.the_rows_keep_their_promises()
        busy = [hand for hand in self.in_hand if not hand.told]
        for _ in range(steps if busy else 0):
            self._next_step(_one(busy, number), fate)
            self.the_rows_keep_their_promises()

    def _next_step(self, hand: Hand, fate: str) -> None:
        if hand.knows is not None:
            self._settle(hand)
        elif hand.past_gate:
            hand.knows, accepted = FATES["goes before the dot" if hand.too_late else fate]
            self.relay[hand.claimed.id] += accepted
        else:
            self._gate(hand)
            hand.told = not hand.past_gate
            if hand.past_gate and fate == "never asked":
                hand.knows = S.QUEUED  # the database's answer got lost: not a byte was sent

    @rule(limit=st.integers(1, READERS))
    def claim(self, limit: int) -> None:
        with self.transaction() as session:
            batch = claim(session.connection(), worker="w", limit=limit, lease=LEASE)
        due, sends = self.due(), self.campaign_state() is C.SENDING
        assert {each.id for each in batch} <= due
        assert len(batch) == (min(limit, len(due)) if sends else 0)
        for each in batch:
            assert each.fence == self.before[each.id].fence + 1
            self.in_hand.append(Hand(each))

    @precondition(lambda self: self.in_hand)
    @rule(number=ANY, following=ANY)
    def settle_and_gate_the_next(self, number: int, following: int) -> None:
        hand, other = _one(self.in_hand, number), _one(self.in_hand, following)
        if hand.knows is None or hand.claimed.id == other.claimed.id:
            return
        holds, may_go = self.holds(hand), self.may_go(other)
        with self.transaction() as session:
            held, gated = exchange(
                session.connection(), [hand.settlement], [other.request], lease=LEASE
            )
        self.settled(hand, held[0], holds)
        self.learns(other, gated[other.claimed.id], may_go)

    @precondition(lambda self: self.in_hand)
    @rule(number=ANY, what=st.sampled_from(["gate", "settle", "refused", "give back", "die"]))
    def do_something_odd(self, number: int, what: str) -> None:
        """A worker repeats itself, does things out of order, gives up, or dies."""
        hand = _one(self.in_hand, number)
        match what:
            case "gate":
                self._gate(hand)
            case "settle" if hand.knows is not None:
                self._settle(hand)
            case "refused" if not hand.past_gate:
                hand.knows = S.QUEUED
                self._settle(hand)
            case "give back":
                with self.transaction() as session:
                    hand_back(session.connection(), [hand.claimed])
            case "die":
                self.in_hand.remove(hand)

    @precondition(lambda self: self.in_hand)
    @rule(number=ANY, taken_over=st.booleans())
    def a_lease_runs_out(self, number: int, taken_over: bool) -> None:
        self._end_lease(_one(self.in_hand, number).claimed.id)
        if taken_over:
            self.the_rows_keep_their_promises()
            self.claim(READERS)

    @precondition(lambda self: any(not hand.told for hand in self.in_hand))
    @rule(number=ANY, meanwhile=st.sampled_from(["give up", "finish", "resend", "send anew"]))
    def a_worker_is_frozen_past_the_gate(self, number: int, meanwhile: str) -> None:
        """It wakes up when its delivery has been given up, and tells what it knows."""
        hand = _one([each for each in self.in_hand if not each.told], number)
        if not hand.past_gate:
            self._gate(hand)
        self.the_rows_keep_their_promises()
        self._end_lease(hand.claimed.id)
        for step in self._meanwhile(meanwhile):
            step()
            self.the_rows_keep_their_promises()
        for _ in range(2 if hand.past_gate else 0):
            self._next_step(hand, "accepts")
            self.the_rows_keep_their_promises()

    def _meanwhile(self, what: str) -> list[Callable[[], None]]:
        steps: list[Callable[[], None]] = [self.recover]
        if what != "give up":
            steps.append(self.tick_and_sweep)
        if what in ("resend", "send anew"):
            steps.append(lambda: self.order("resend"))
        if what == "send anew":
            steps += [
                self.retries_become_due,
                lambda: self.claim(READERS),
                lambda: self.work(0, "takes it and goes", 3),
            ]
        return steps

    def _end_lease(self, delivery_id: int) -> None:
        leased = delivery.c.lease_until.is_not(None) & (delivery.c.id == delivery_id)
        with self.transaction() as session:
            past = self.parts.now() - LONG_AGO
            session.execute(update(delivery).where(leased).values(lease_until=past))
        for each in self.in_hand:
            each.too_late |= each.claimed.id == delivery_id

    @rule()
    def recover(self) -> None:
        with self.transaction() as session:
            recover_abandoned(session, find_abandoned(session, grace=GRACE), grace=GRACE)

    @rule()
    def retries_become_due(self) -> None:
        with self.transaction() as session:
            session.execute(update(delivery).values(next_at=self.parts.now() - LONG_AGO))

    def _gate(self, hand: Hand) -> None:
        may_go = self.may_go(hand)
        with self.transaction() as session:
            _, gated = exchange(session.connection(), [], [hand.request], lease=LEASE)
        self.learns(hand, gated[hand.claimed.id], may_go)

    def _settle(self, hand: Hand) -> None:
        holds = self.holds(hand)
        with self.transaction() as session:
            held, _ = exchange(session.connection(), [hand.settlement], [], lease=LEASE)
        self.settled(hand, held[0], holds)

    # Readers and operators

    @precondition(lambda self: self.steps > 5)
    @rule(reader=READER, what=st.sampled_from(["leave", "come back", "suppress"]))
    def change_what_is_allowed(self, reader: int, what: str) -> None:
        now, before = self.parts.now(), set(self.forbidden)
        with self.transaction() as session:
            match what:
                case "leave":
                    token = self.parts.links.unsubscribe(1, reader).rpartition("/")[2]
                    leave(session, self.parts.signer, token, Evidence(Method.ONE_CLICK), now=now)
                    self.forbidden.add(reader)
                case "come back":
                    found = session.get_one(Subscriber, reader), session.get_one(Purpose, 1)
                    record(
                        session, *found, ConsentState.GIVEN, Evidence(Method.PREFERENCES), now=now
                    )
                    self.forbidden -= {reader} - self.suppressed
                case "suppress":
                    hashed = session.get_one(Subscriber, reader).address_hash
                    suppress(session, hashed, SuppressionReason.OPERATOR, now=now)
                    self.suppressed.add(reader)
                    self.forbidden.add(reader)
        if reader in self.forbidden - before:
            assert self.states_of(reader).isdisjoint({S.QUEUED, S.LEASED})

    @rule(order=st.sampled_from(["pause or resume", "sent", "resend", "retry", "cancel"]))
    def order(self, order: str) -> None:
        """An operator gives an order, where the campaign's state allows it."""
        state, now = self.campaign_state(), self.parts.now()
        reopens = state in (C.SENDING, C.PAUSED, C.FINISHED)
        with self.campaign() as (session, campaign):
            match order:
                case "pause or resume" if state is C.SENDING:
                    pause_campaign(session, campaign)
                case "pause or resume" if state is C.PAUSED:
                    resume_campaign(session, campaign, now=now)
                case "sent" | "resend" if reopens:
                    b.decide(session, campaign, order, now)
                case "retry" if reopens:
                    b.decide(session, campaign, "retry", now)
                case "cancel" if state in (C.SENDING, C.PAUSED) and self.steps > 30:
                    cancel_campaign(session, campaign, now=now)
        if order == "resend" and reopens:
            self.resent.update(row.id for row in self.before.values() if row.state is S.UNCERTAIN)

    @rule(whole=st.booleans())
    def the_relays_log_is_asked(self, whole: bool) -> None:
        """It shows what the relay took; a whole one proves what it did not."""
        resend = whole and self.campaign_state() in (C.SENDING, C.PAUSED, C.FINISHED)
        with self.campaign() as (session, campaign):
            findings = [
                (doubt, Finding(self._logged(doubt.id, whole), "Q", None, "not in the log"))
                for doubt in doubts(session, campaign)
            ]
            settle_findings(
                session, campaign, findings, resend_missing=resend, now=self.parts.now()
            )
        left = {row.state for row in self.rows().values()}
        assert not resend or S.UNCERTAIN not in left

    def _logged(self, delivery_id: int, whole: bool) -> Said | None:
        if self.relay[delivery_id]:
            return Said.ACCEPTED
        return Said.NOT_ACCEPTED if whole else None

    @rule()
    def tick_and_sweep(self) -> None:
        with self.transaction() as session:
            finish_done(session, now=self.parts.now())
        with self.transaction() as session:
            close_ended(session, now=self.parts.now())
