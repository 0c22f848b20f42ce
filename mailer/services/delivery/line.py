"""A line: one relay's connections in this process, and what waits for them.

It claims what its relay is to take, in batches that last for a moment, and keeps the conversations
at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from mailer.domain.relays import RelayConfig, RelayKind
from mailer.domain.rounds import Pace
from mailer.services.delivery.allotting import Allotment, Request, allot
from mailer.services.delivery.conversation import Conversation
from mailer.services.delivery.intake import Intake
from mailer.services.delivery.ledger_desk import LedgerDesk
from mailer.services.delivery.settling import Judge, Party
from mailer.services.mails.composing import Composer, Prepared
from mailer.store.ledger import hand_back
from mailer.store.relays import RelayRow, day_of, give_back_to_day
from mailer.transports import Transport

_log = structlog.get_logger()

_SMALLEST_BATCH = 100
_LARGEST_BATCH = {RelayKind.QUEUEING: 2_000, RelayKind.DIRECT: 400}
_BATCH_LASTS = (0.25, 2.0)
"""Seconds: a batch that is gone sooner was too small, one that lasts longer too large. So a slow
relay does not let leases run out, and what is urgent never waits behind much."""
_ASK_AGAIN = 0.05
"""Seconds: a line with a connection to spare asks no more often while its providers have enough."""


class Access(NamedTuple):
    """How to reach a relay, and what it is to be given at once."""

    transport: Transport
    config: RelayConfig


@dataclass(frozen=True, slots=True)
class Common:
    """What all lines of a process share."""

    desk: LedgerDesk
    composer: Composer
    worker: str
    now: Callable[[], datetime]
    jitter: Callable[[], float]
    pace: Pace


class Host(Protocol):
    """The process's sender, as its lines see it."""

    @property
    def stopping(self) -> bool:
        """Whether no gate may be passed any more."""

    @property
    def called(self) -> int:
        """How often it has been called to look for work."""

    def line_works(self) -> None:
        """A line has taken something, or has failed, so that another may take over."""

    def line_rests(self) -> None:
        """A line has looked, and there was nothing that it could send now."""


class Line:
    """Sends what its relay is to take until it is closed, or its host stops."""

    def __init__(self, relay: RelayRow, access: Access, common: Common, host: Host) -> None:
        self.relay = relay
        self._access = access
        self._common = common
        self._host = host
        party = Party(relay.id, access.transport.name, access.config.kind)
        self._judge = Judge(party, now=common.now, jitter=common.jitter)
        self._intake = Intake(relay.name, access.config.kind, self)
        self._batch = _SMALLEST_BATCH
        self._rate = access.config.rate
        self._probing = False
        self._claimed_on = 0
        self._woken = asyncio.Event()
        self._closing = False
        self.rested = -1
        """The host's last call at which there was nothing to send."""

    def wake(self) -> None:
        """Look for work at once."""
        self._woken.set()

    def close(self) -> None:
        """Take nothing more; what is in hand is finished."""
        self._closing = True
        self._woken.set()

    def stand_down(self) -> None:
        """Give back what waits: the relay is not to be used now."""
        self._intake.clear()
        self._woken.set()

    async def live(self) -> None:
        """Send until closed or stopped; then give back what is not past its gate."""
        try:
            while not self._ends:
                await self._turn()
        finally:
            await self._drain()

    async def _turn(self) -> None:
        """Claim, and let it be used up; or wait for something to come."""
        self._woken.clear()
        called = self._host.called
        self._intake.drop_stale(self._lease_seconds / 4)
        await self._return_leases()
        found = await self._claim()
        if found:
            await self._use_up()
            return
        waits = len(self._intake) > 0
        if found is False and not waits and not self._intake.busy:
            self.rested = called
            self._host.line_rests()
        with contextlib.suppress(TimeoutError):
            pause = self._common.pace.look_again.total_seconds()
            await asyncio.wait_for(self._woken.wait(), _ASK_AGAIN if waits else pause)

    # What the intake needs (`mailer.services.delivery.intake.Line`)

    @property
    def stopping(self) -> bool:
        """Whether no gate may be passed any more."""
        return self._host.stopping

    def emptied(self) -> None:
        """See at once whether there is more."""
        self._woken.set()

    def relay_failed(self) -> None:
        """Another may take over."""
        self._host.line_works()

    @property
    def _lease_seconds(self) -> float:
        return self._common.pace.lease.total_seconds()

    @property
    def _ends(self) -> bool:
        return self._closing or self._host.stopping

    async def _claim(self) -> bool | None:
        """Lease what is due for this relay; say whether it is worth while to go on at once.

        None: nobody knows, for the database could not be asked.
        """
        request = Request(
            self.relay.id, self._access.config, self._common.worker,
            self._limit(), self._common.pace.lease, self._intake.crowded(self._judge.speed.of),
        )  # fmt: skip

        def look(session: Session) -> tuple[Allotment, Sequence[Prepared]]:
            allotment = allot(session, request, now=self._common.now())
            batch = self._common.composer.prepare(session.connection(), allotment.batch)
            return allotment, batch

        try:
            allotment, batch = await self._common.desk.run(look)
        except SQLAlchemyError as error:
            _log.warning("database does not answer", reason=str(error).splitlines()[0])
            return None
        except Exception:
            _log.exception("nothing can be claimed")  # and the sender lives on
            return None
        if batch:
            self._claimed_on = day_of(self._common.now())
            self._host.line_works()
            self.rested = -1
        self._keep_limits(allotment)
        self._intake.add(batch)
        return bool(batch) or allotment.look_again

    def _limit(self) -> int:
        """Return how many mails to lease: no more than go before their leases run out."""
        if self._rate is None:
            return self._batch
        soon = int(self._rate * self._lease_seconds / 4) - len(self._intake)
        return min(self._batch, max(soon, 1))

    def _keep_limits(self, allotment: Allotment) -> None:
        config, place = self._access.config, allotment.place
        self._probing = allotment.probing
        self._judge.workers = place.of
        self._judge.failing.update(allotment.tried)
        self._rate = place.rate(config.rate, allotment.rate)
        self._intake.keep_rate(self._rate)
        if allotment.providers is not None:
            self._intake.keep_provider_limits(
                max(place.part(config.provider_connections) or 0, 1),
                place.rate(config.provider_rate),
                allotment.providers,
            )
        part = place.part(config.max_connections)
        number = config.connections if part is None else min(config.connections, part)
        self._intake.keep_conversations(number, self._converse)

    async def _converse(self) -> None:
        conversation = Conversation(
            self._access.transport, self._common.desk, self._judge, self._common.composer,
            self._intake,
            now=self._common.now, gate_to_body=self._common.pace.gate_to_body.total_seconds(),
        )  # fmt: skip
        await conversation.live()

    async def _use_up(self) -> None:
        """Wait until half of a batch is left, and learn from how long it took.

        A relay that has failed is sent one mail, and no more before its fate is known.
        """
        while self._probing and (self._intake.busy or len(self._intake)) and not self._ends:
            await asyncio.sleep(0.005)
        began = time.monotonic()
        while len(self._intake) > self._batch // 2 and not self._ends:
            await asyncio.sleep(0.005)
            took = time.monotonic() - began
            if took > self._lease_seconds / 8 or (took > _ASK_AGAIN and self._intake.has_room):
                break
        took = time.monotonic() - began
        shortest, longest = _BATCH_LASTS
        if took < shortest:
            self._batch = min(self._batch * 2, _LARGEST_BATCH[self._access.config.kind])
        elif took > longest:
            self._batch = max(self._batch // 2, _SMALLEST_BATCH)

    async def _return_leases(self) -> None:
        claimed = self._intake.returned()
        if not claimed:
            return

        def return_them(session: Session) -> None:
            hand_back(session.connection(), claimed)
            if self.relay.warm_up_first is not None:
                give_back_to_day(session, self.relay.id, self._claimed_on, len(claimed))

        try:
            await self._common.desk.run(return_them)
        except SQLAlchemyError:
            _log.warning("leases are left to run out", number=len(claimed))

    async def _drain(self) -> None:
        """Finish what is past the gate, return the rest, and say goodbye to the relay."""
        self._intake.clear()
        deadline = time.monotonic() + self._common.pace.drain.total_seconds()
        while self._intake.busy and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        try:
            await self._return_leases()
        finally:
            await self._intake.end()
