"""One connection's life: deliveries one after the other, each through the gate.

    offer n → gate n → content n, dot, offer n+1 → settle n and gate n+1 → content n+1, dot, …

So there is never more than one delivery on a connection of which the relay's word is not known,
and the ledger is visited once per delivery.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from mailer.services.delivery.ledger_desk import LedgerDesk
from mailer.services.delivery.settling import Judge, Judgement, Trouble
from mailer.services.delivery.visits import LedgerSilent
from mailer.services.mails.composing import CannotCompose, Composer, Outgoing, Prepared
from mailer.store.ledger import Claimed, Gated, GateRequest
from mailer.transports import ConnectFailed, Connection, Ready, Transport

_log = structlog.get_logger()


class Enough(Exception):
    """The relay is to have fewer connections: this one ends."""


class Deliveries(Protocol):
    """Where a conversation gets its deliveries from, and where it gives them back to."""

    async def next(self) -> Prepared:
        """Wait for a delivery; raises Enough where there are too many conversations."""

    def next_at_once(self) -> Prepared | None:
        """Return a delivery if one waits and the sender goes on."""

    def done(self, prepared: Prepared) -> None:
        """What `next` gave, and all that came at once after it, is settled or given back."""

    def give_back(self, claimed: Claimed) -> None:
        """Let another worker have it; not a byte of it was sent."""

    def failed(self, trouble: Trouble) -> None:
        """The relay, or a receiving provider, cannot be used for now."""

    @property
    def stopping(self) -> bool:
        """Whether no gate may be passed any more."""


class Conversation:
    """Takes deliveries over one connection, which it opens when there is something to deliver."""

    def __init__(
        self,
        transport: Transport,
        desk: LedgerDesk,
        judge: Judge,
        composer: Composer,
        deliveries: Deliveries,
        *,
        now: Callable[[], datetime],
        gate_to_body: float,
    ) -> None:
        self._transport = transport
        self._desk = desk
        self._judge = judge
        self._composer = composer
        self._deliveries = deliveries
        self._now = now
        self._gate_to_body = gate_to_body
        self._connection: Connection | None = None
        self._cannot: list[Judgement] = []  # of what could not be composed; told with the next

    async def live(self) -> None:
        """Deliver until cancelled, or until there is enough; say goodbye to the relay then."""
        try:
            while True:
                prepared = await self._deliveries.next()
                try:
                    await self._deliver(prepared)
                except LedgerSilent:
                    await self._hang_up()
                except Exception as error:
                    # Whatever went wrong, what was taken is settled by its lease or its grace,
                    # and the other deliveries must go on.
                    known = isinstance(error, SQLAlchemyError)
                    _log.error("conversation broken", reason=repr(error)[:300], exc_info=not known)
                    await self._hang_up()
                finally:
                    self._deliveries.done(prepared)
        except Enough:
            pass
        finally:
            if self._connection is not None and self._connection.alive:
                await self._connection.close()

    async def _deliver(self, prepared: Prepared) -> None:
        """Deliver this one, and whatever else waits when it is done."""
        current = self._composed(prepared) or self._following()
        if current is None:
            await self._tell()
            return
        connection = await self._connected(current)
        if connection is None:
            return
        offered = await connection.offer(current.envelope)
        said: Judgement | None = None  # about the delivery before; told with the next visit
        while True:
            if isinstance(offered, Ready):
                # Counted from the question: a process may be frozen before it hears the answer.
                deadline = time.monotonic() + self._gate_to_body
                if not await self._passes_gate(said, current):
                    await self._hang_up()
                    return
                following = self._following()
                outcome, next_offered = await connection.hand_over(
                    current.content,
                    deadline=deadline,
                    following=following.envelope if following else None,
                )
                said = self._judge.outcome(current.claimed, outcome)
            else:
                await self._tell(said, self._judge.outcome(current.claimed, offered))
                said = None
                if not connection.alive:
                    return
                following = self._following()
                next_offered = await connection.offer(following.envelope) if following else None
            if following is None or next_offered is None:
                await self._tell(said)
                return
            current, offered = following, next_offered

    def _composed(self, prepared: Prepared) -> Outgoing | None:
        """Return the mail, or keep in mind that it can never be made."""
        try:
            return self._composer.compose(prepared, now=self._now())
        except CannotCompose as refusal:
            judgement = self._judge.cannot_be_composed(prepared.claimed, str(refusal))
            self._cannot.append(judgement)
            return None

    def _following(self) -> Outgoing | None:
        """Return the next delivery that waits, ready for the wire."""
        while prepared := self._deliveries.next_at_once():
            outgoing = self._composed(prepared)
            if outgoing is not None:
                return outgoing
        return None

    async def _connected(self, current: Outgoing) -> Connection | None:
        if self._connection is None or not self._connection.alive:
            try:
                self._connection = await self._transport.connect()
            except ConnectFailed as failure:
                self._connection = None
                await self._tell(
                    self._judge.relay_failed(current.claimed, failure.stage, failure.reason)
                )
        return self._connection

    async def _passes_gate(self, said: Judgement | None, current: Outgoing) -> bool:
        """Tell what is known of the one before, and ask for this one: one visit to the ledger."""
        if self._deliveries.stopping:
            self._deliveries.give_back(current.claimed)
            await self._tell(said)
            return False
        claimed = current.claimed
        request = GateRequest(claimed.id, claimed.period, claimed.fence, claimed.version)
        if said is None:
            told = await self._desk.visit(request=request)
        else:
            told = await self._desk.visit(said.settlement, request=request, effects=said.effects)
            self._note(told.held, (said,))
        if told.gated is Gated.LEASE_LOST:
            _log.warning("lease lost before the gate", delivery=claimed.id)
        return told.gated is Gated.OPEN

    async def _tell(self, *judgements: Judgement | None) -> None:
        known = tuple(judgement for judgement in judgements if judgement is not None)
        if self._cannot:
            known += tuple(self._cannot)
            self._cannot.clear()
        if not known:
            return
        told = await self._desk.visit(
            *(judgement.settlement for judgement in known),
            effects=tuple(effect for judgement in known for effect in judgement.effects),
        )
        self._note(told.held, known)

    def _note(self, held: tuple[bool, ...], judgements: tuple[Judgement, ...]) -> None:
        for holds, judgement in zip(held, judgements, strict=True):
            if not holds:
                _log.warning("lease lost before it was settled", delivery=judgement.settlement.id)
            if judgement.trouble is not None:
                self._deliveries.failed(judgement.trouble)

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.abandon()
