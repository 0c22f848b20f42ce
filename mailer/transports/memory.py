"""A relay in memory: the only double in the tests, scripted per recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailer.domain.replies import Reply, Stage
from mailer.transports.base import (
    Accepted,
    ConnectFailed,
    Envelope,
    HandedOver,
    Lost,
    Offered,
    Ready,
    Refused,
    Unknown,
)

Script = Refused | Lost | Unknown


@dataclass
class MemoryTransport:
    """Takes every message, except where it is told otherwise.

    By recipient once for every entry of the `script`, and by domain for as long as it stands there.
    """

    script: Mapping[str, list[Script]] = field(default_factory=dict)
    turned_away: dict[str, Refused] = field(default_factory=dict)
    refuses_connections: ConnectFailed | None = None
    accepted: list[tuple[Envelope, bytes]] = field(default_factory=list)
    name: str = "memory"
    connections: int = 0

    async def connect(self) -> MemoryConnection:
        """Open a connection."""
        if self.refuses_connections is not None:
            raise self.refuses_connections
        self.connections += 1
        return MemoryConnection(self)


class MemoryConnection:
    """One conversation with the relay in memory."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self._offered: Envelope | None = None
        self.alive = True

    async def offer(self, envelope: Envelope) -> Offered:
        """Be ready, or do as the script says where that comes before the content."""
        self._offered = envelope
        refusal = self._transport.turned_away.get(envelope.recipient.rpartition("@")[2])
        if refusal is not None:
            self.alive = refusal.reply.code != 421
            return refusal
        waiting = self._transport.script.get(envelope.recipient, [])
        if waiting and not self._comes_after_content(waiting[0]):
            outcome = waiting.pop(0)
            assert not isinstance(outcome, Unknown)
            self.alive = isinstance(outcome, Refused)
            return outcome
        return Ready()

    async def hand_over(
        self, content: bytes, *, deadline: float, following: Envelope | None = None
    ) -> tuple[HandedOver, Offered | None]:
        """Take the message, or do as the script says; then look at the next envelope."""
        assert self._offered is not None, "nothing was offered"
        outcome: HandedOver
        waiting = self._transport.script.get(self._offered.recipient, [])
        if waiting:
            outcome = waiting.pop(0)
            self.alive = isinstance(outcome, Refused)
        else:
            self._transport.accepted.append((self._offered, content))
            outcome = Accepted(Reply(250, "2.0.0", "queued as MEMORY"), "MEMORY")
        if following is None:
            return outcome, None
        if not self.alive:
            return outcome, Lost(Stage.MAIL, "the connection is gone")
        return outcome, await self.offer(following)

    async def abandon(self) -> None:
        """Hang up."""
        self.alive = False

    async def close(self) -> None:
        """Hang up politely."""
        self.alive = False

    @staticmethod
    def _comes_after_content(outcome: Script) -> bool:
        return isinstance(outcome, Unknown) or outcome.stage in ("data", "dot")
