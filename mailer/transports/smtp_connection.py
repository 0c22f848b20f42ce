"""One SMTP conversation (RFC 5321): many messages, one after the other, with the gate between.

Extensions are used when announced and never assumed: PIPELINING (RFC 2920), SIZE (RFC 1870),
8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), AUTH PLAIN and LOGIN (RFC 4954).
"""

from __future__ import annotations

import base64
import contextlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

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
from mailer.transports.wire import Wire, WireBroken


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds; replies as RFC 5321 §4.5.3.2 advises at least."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    body: float = 180.0
    dot: float = 600.0
    quit: float = 2.0


USUAL_PATIENCE = Patience()

_READY = Ready()
_GO_ON = [b"2", b"2", b"3"]  # to MAIL, RCPT, DATA
_STAGES = (Stage.MAIL, Stage.RCPT, Stage.DATA)
_AT_ONCE = 60_000  # octets that the system's buffers take in one write, so that the dot may follow
_BREAKS_A_COMMAND = re.compile(r"[\x00-\x20<>\x7f]")

# Postfix; Exim; sendmail; SES: in this order, for the last fits what the others say.
_QUEUE_IDS = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        r"queued as ([\w-]+)",
        r"\bid=([\w-]+)",
        r"([\w-]{6,}) message accepted",
        r"^ok:?\s+([\w.-]{6,})",
    )
)


class SmtpConnection:
    """One conversation: many messages, one after the other."""

    def __init__(self, wire: Wire, patience: Patience) -> None:
        self._wire = wire
        self._patience = patience
        self._size_limit = 0
        self._announces_size = self._pipelines = False
        self._mail_options = ""
        self.features: dict[str, str] = {}
        """What the relay announced: keyword → parameters."""

    @property
    def alive(self) -> bool:
        """Whether another message may be offered."""
        return not self._wire.broken and not self._wire.spoken_to

    @property
    def tls(self) -> str:
        """The version of TLS that is spoken, or "" in the clear."""
        return self._wire.tls

    async def hello(self, name: str) -> None:
        """Introduce ourselves and learn what the relay can do."""
        reply = await self.command(f"EHLO {name}")
        if reply.code == 250:
            lines = reply.text.splitlines()[1:]
            self.features = {
                keyword.upper(): rest
                for keyword, _, rest in (line.partition(" ") for line in lines)
            }
            limit = self.features.get("SIZE", "").strip()
            self._size_limit = int(limit) if limit.isdigit() and len(limit) < 16 else 0
            self._announces_size = "SIZE" in self.features
            self._mail_options = " BODY=8BITMIME" if "8BITMIME" in self.features else ""
            self._pipelines = "PIPELINING" in self.features
            return
        require(await self.command(f"HELO {name}"), 250, Stage.CONNECT)
        self.features = {}

    async def log_in(self, user: str, password: str) -> None:
        """Authenticate by PLAIN or LOGIN; raises ConnectFailed at stage AUTH."""
        mechanisms = self.features.get("AUTH", "").upper().split()
        if "PLAIN" in mechanisms:
            secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
            reply = await self.command(f"AUTH PLAIN {secret}")
        elif "LOGIN" in mechanisms:
            reply = await self.command("AUTH LOGIN")
            for part in (user, password):
                if reply.code == 334:
                    reply = await self.command(base64.b64encode(part.encode()).decode())
        else:
            raise ConnectFailed(Stage.AUTH, "the relay offers neither AUTH PLAIN nor AUTH LOGIN")
        require(reply, 235, Stage.AUTH)

    async def command(self, line: str) -> Reply:
        """Send one command and return its reply."""
        self._wire.write(line.encode() + b"\r\n")
        return await self._wire.reply(timeout=self._patience.command)

    async def offer(self, envelope: Envelope) -> Offered:
        """Send MAIL, RCPT, DATA: in one write where the relay announced PIPELINING."""
        unfit = self._unfit(envelope)
        if unfit is not None:
            return unfit
        commands = self._commands(envelope)
        replies: list[bytes] = []
        try:
            if self._pipelines:
                self._wire.write(b"".join(commands))
                replies += await self._wire.replies(3, timeout=self._patience.data)
            else:
                for command in commands:
                    self._wire.write(command)
                    replies += await self._wire.replies(1, timeout=self._patience.data)
                    if not _agrees(len(replies), replies[-1:]):
                        break
        except WireBroken:
            pass  # `_offered` finds a reply missing
        return await self._offered(replies)

    async def hand_over(
        self, content: bytes, *, deadline: float, following: Envelope | None = None
    ) -> tuple[HandedOver, Offered | None]:
        """Send content and final dot, and behind them the next envelope; wait for the replies."""
        pipelined = following is not None and self._pipelines and self._unfit(following) is None
        behind = self._commands(following) if following is not None and pipelined else ()
        try:
            if len(content) > _AT_ONCE and time.monotonic() <= deadline:
                self._wire.write(content)
                await self._wire.drained(timeout=self._patience.body)
                content = b""
            if time.monotonic() > deadline:
                self._wire.abort("the deadline passed before the final dot")
            self._wire.write(content, b"".join((b".\r\n", *behind)))
        except WireBroken as error:
            lost = Lost(Stage.DATA, str(error))
            return lost, _went_too(following, lost)
        replies = await self._wire.replies(1 + len(behind), timeout=self._patience.dot)
        outcome = self._handed_over(replies)
        if following is None:
            return outcome, None
        if self._wire.broken and len(replies) < 2:
            return outcome, Lost(Stage.MAIL, self._wire.broken)
        if pipelined:
            return outcome, await self._offered(replies[1:])
        return outcome, await self.offer(following)

    async def abandon(self) -> None:
        """Hang up after 354: nothing was accepted, for no dot was sent."""
        self._wire.abort("the gate stayed closed")

    async def close(self) -> None:
        """Say QUIT and close."""
        if self._wire.broken:
            return
        with contextlib.suppress(WireBroken):
            self._wire.write(b"QUIT\r\n")
            await self._wire.reply(timeout=self._patience.quit)
        self._wire.close()

    def _commands(self, envelope: Envelope) -> tuple[bytes, bytes, bytes]:
        line = f"MAIL FROM:<{envelope.sender}>"
        if self._announces_size:
            line += f" SIZE={envelope.size}"
        line += self._mail_options
        if envelope.smtputf8:
            line += " SMTPUTF8"
        recipient = f"RCPT TO:<{envelope.recipient}>\r\n".encode()
        return f"{line}\r\n".encode(), recipient, b"DATA\r\n"

    async def _offered(self, replies: Sequence[bytes]) -> Offered:
        """Return what the replies to MAIL, RCPT, DATA come to; a refusal is made undone."""
        if [raw[:1] for raw in replies] == _GO_ON and replies[2].startswith(b"354"):
            return _READY
        for place, raw in enumerate(replies):
            if _agrees(place + 1, (raw,)):
                continue
            try:
                refused = Refused(_STAGES[place], self._wire.understood(raw))
            except WireBroken as error:
                return Lost(_STAGES[place], str(error))
            await self._start_over(refused, accepts_data=replies[-1].startswith(b"354"))
            return refused
        if len(replies) < len(_STAGES):
            return Lost(_STAGES[len(replies)], self._wire.broken or "no reply")
        return _READY

    def _handed_over(self, replies: Sequence[bytes]) -> HandedOver:
        if not replies:
            return Unknown(self._wire.broken or "no reply")
        try:
            reply = self._wire.understood(replies[0])
        except WireBroken as error:
            return Unknown(str(error))
        if 200 <= reply.code < 300:
            return Accepted(reply, relay_queue_id(reply))
        if reply.code == 421:
            self._wire.abort("the relay ended the session")
        if 400 <= reply.code < 600:
            return Refused(Stage.DOT, reply)
        self._wire.abort("the relay's reply to the content makes no sense")
        return Unknown(f"the relay answered the content with {reply}")

    def _unfit(self, envelope: Envelope) -> Refused | None:
        """Say in the relay's stead what it would have to say (RFC 6531 §3.2, RFC 1870 §4).

        What is wrong with one reader's address is said at RCPT, so that no other pays for it.
        """
        if _BREAKS_A_COMMAND.search(envelope.sender):
            return Refused(Stage.MAIL, Reply(501, "5.1.7", "the sender cannot stand in a command"))
        if _BREAKS_A_COMMAND.search(envelope.recipient):
            return Refused(Stage.RCPT, Reply(501, "5.5.4", "the address cannot stand in a command"))
        if envelope.smtputf8 and "SMTPUTF8" not in self.features:
            says = "the relay takes no internationalised addresses"
            return Refused(Stage.RCPT, Reply(550, "5.6.7", says))
        if 0 < self._size_limit < envelope.size:
            says = f"the message is larger than the relay takes ({self._size_limit})"
            return Refused(Stage.MAIL, Reply(552, "5.3.4", says))
        return None

    async def _start_over(self, refused: Refused, *, accepts_data: bool) -> None:
        """Make the connection ready for the next message, or give it up."""
        if refused.reply.code == 421:
            self._wire.abort("the relay ended the session")
        elif accepts_data:
            # Pipelined DATA was taken with no recipient (RFC 2920 §3.1): only hanging up is safe.
            self._wire.abort("the relay waits for content without a recipient")
        else:
            try:
                reply = await self.command("RSET")
            except WireBroken:
                return
            if reply.code != 250:
                self._wire.abort("the relay does not start over")


def relay_queue_id(reply: Reply) -> str | None:
    """Return the relay's own name for the message, if its 250 has one in a known form."""
    for pattern in _QUEUE_IDS:
        found = pattern.search(reply.text)
        if found:
            return found.group(1)
    return None


def _agrees(place: int, last: Sequence[bytes]) -> bool:
    """Say whether the last reply is the one to go on with: 2xx, and 354 to the third command."""
    return bool(last) and last[0].startswith(b"354" if place == len(_STAGES) else b"2")


def _went_too(following: Envelope | None, lost: Lost) -> Lost | None:
    return None if following is None else Lost(Stage.MAIL, lost.reason)


def require(reply: Reply, code: int, stage: Stage) -> None:
    """Raise ConnectFailed unless the relay gave the reply that is wanted."""
    if reply.code != code:
        raise ConnectFailed(stage, str(reply))
