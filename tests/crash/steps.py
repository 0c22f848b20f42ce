"""Dying at the numbered steps of docs/crash-table.md, without a hook in what is tested."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from mailer.domain.relays import RelayConfig
from mailer.services.delivery.allotting import Allotment
from mailer.services.delivery.ledger_desk import LedgerDesk
from mailer.services.delivery.visits import Effect, Told
from mailer.store.ledger import Gated, GateRequest, Settlement
from mailer.transports import Accepted, Connection, Envelope, HandedOver, Offered, Ready, smtp
from mailer.transports.wire import Wire

T = TypeVar("T")

CLAIM, OFFER, GATE, CONTENT, DOT, REPLY, SETTLED = STEPS = range(5, 12)
DIED = 77
"""The exit code of a process that died by order."""


class Death:
    """Comes when a step has been reached so many times: no `finally` runs, nothing is flushed."""

    def __init__(self, step: int, time: int) -> None:
        self._step = step
        self._left = time

    def comes(self, step: int) -> bool:
        """Count one more time that the step is reached; say whether it is the last."""
        self._left -= step == self._step
        return step == self._step and self._left == 0

    def at(self, step: int) -> None:
        """Die if it is time."""
        if self.comes(step):
            die()


def die() -> None:
    """End as kill -9 ends it."""
    os._exit(DIED)


def mortal_desk(death: Death, desk: type[LedgerDesk]) -> type[LedgerDesk]:
    """Return a desk whose process dies when a claim (5), gate (7) or settlement (11) stands."""

    class MortalDesk(desk):  # type: ignore[misc, valid-type]
        async def visit(
            self,
            *settlements: Settlement,
            request: GateRequest | None = None,
            effects: tuple[Effect, ...] = (),
        ) -> Told:
            told = await super().visit(*settlements, request=request, effects=effects)
            if settlements:
                death.at(SETTLED)
            if told.gated is Gated.OPEN:
                death.at(GATE)
            return told

        async def run(self, work: Callable[[Session], T]) -> T:
            result = await super().run(work)
            match result:  # the sender's other errands bring no allotment
                case Allotment(batch=[_, *_]), _:
                    death.at(CLAIM)
            return result

    return MortalDesk


class MortalTransport(smtp.SmtpTransport):
    """Its process dies when the relay has spoken (6, 10), or has been spoken to (8, 9)."""

    def __init__(self, config: RelayConfig, death: Death) -> None:
        super().__init__(config, hello="crash.test")
        self._death = death
        smtp.Wire = lambda: MortalWire(death)  # type: ignore[assignment,misc]

    async def connect(self) -> Any:
        """Open a connection."""
        return MortalConnection(await super().connect(), self._death)


class MortalConnection:
    """A connection whose process dies at a 354 (6) or at the reply to a final dot (10)."""

    def __init__(self, inner: Connection, death: Death) -> None:
        self._inner = inner
        self._death = death
        self.abandon, self.close = inner.abandon, inner.close

    @property
    def alive(self) -> bool:
        """Whether another message may be offered."""
        return self._inner.alive

    async def offer(self, envelope: Envelope) -> Offered:
        """Offer, and perhaps die."""
        offered = await self._inner.offer(envelope)
        if isinstance(offered, Ready):
            self._death.at(OFFER)
        return offered

    async def hand_over(
        self, content: bytes, *, deadline: float, following: Envelope | None = None
    ) -> tuple[HandedOver, Offered | None]:
        """Hand over, and perhaps die."""
        outcome, offered = await self._inner.hand_over(
            content, deadline=deadline, following=following
        )
        if isinstance(outcome, Accepted):
            self._death.at(REPLY)
        return outcome, offered


class MortalWire(Wire):
    """A wire whose process dies when content is on its way, without the dot (8) or with it (9)."""

    def __init__(self, death: Death) -> None:
        super().__init__()
        self._death = death

    def write(self, *pieces: bytes) -> None:
        """Write, or give the system what it is to have, and die."""
        if len(pieces) > 1 and pieces[1].startswith(b".\r\n"):
            if self._death.comes(CONTENT):
                self._push(pieces[0])
                die()
            if self._death.comes(DOT):
                self._push(b"".join(pieces))
                die()
        super().write(*pieces)

    def _push(self, data: bytes) -> None:
        """Hand the bytes to the system itself: the loop's own buffers die with the process."""
        assert self._transport is not None
        descriptor = self._transport.get_extra_info("socket").fileno()
        while data:
            data = data[os.write(descriptor, data) :]
