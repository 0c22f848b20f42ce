"""The interface between the sender and a relay, and everything that can come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mailer.domain.replies import Reply, Stage


class Envelope(NamedTuple):
    """Who a message is from and for, on the wire. `size` is in octets."""

    sender: str
    recipient: str
    size: int
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The relay said 354: it waits for content, and has not taken anything."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The relay said no, in so many words: nothing was accepted."""

    stage: Stage
    reply: Reply


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection went before the final dot: nothing was accepted."""

    stage: Stage
    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The relay said 250 after the final dot: it has the message."""

    reply: Reply
    relay_queue_id: str | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The connection went after the final dot: nobody can know (RFC 1047)."""

    reason: str


Offered = Ready | Refused | Lost
HandedOver = Accepted | Refused | Lost | Unknown


class ConnectFailed(Exception):
    """No connection to the relay came about; no reader is to blame."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


class Connection(Protocol):
    """One conversation with a relay, for many messages one after the other."""

    @property
    def alive(self) -> bool:
        """Whether another message may be offered."""

    async def offer(self, envelope: Envelope) -> Offered:
        """Send MAIL, RCPT, DATA; after a refusal the connection is ready for the next."""

    async def hand_over(
        self, content: bytes, *, deadline: float, following: Envelope | None = None
    ) -> tuple[HandedOver, Offered | None]:
        """Send the content and the final dot, unless `deadline` (`time.monotonic`) has passed.

        `content` is a whole message as rendering makes it: CRLF alone ends lines, and none begins
        with a dot. `following` is offered behind it, in the same breath where the relay can; what
        the relay says to that comes second. The deadline keeps a process that was frozen past its
        lease from finishing what another may be doing by now.
        """

    async def abandon(self) -> None:
        """Hang up after 354: the gate stayed closed, and not a byte of content was sent."""

    async def close(self) -> None:
        """Say QUIT, and do not wait long for the answer."""


class Transport(Protocol):
    """One relay."""

    @property
    def name(self) -> str:
        """How the relay is called in attempts and messages."""

    async def connect(self) -> Connection:
        """Open a connection; raises ConnectFailed."""
