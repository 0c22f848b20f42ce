"""Bytes to and from a relay: replies are cut from the stream, writes wait for a slow peer."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import cast

from mailer.domain.replies import Reply, parse_reply

_LONGEST_REPLY = 65_536  # RFC 5321 §4.5.3.1.5 says 512 a line; some relays say more
_LOOK_EVERY = 0.25


class WireBroken(Exception):
    """The connection is of no use any more; the message says why."""


class Wire(asyncio.Protocol):
    """One TCP connection, for one conversation at a time.

    Time limits are watched by one timer per connection instead of one per reply: a message is
    four replies, and there are thousands of messages a second.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = b""  # what came after the last line's end
        self._lines: list[bytes] = []  # of a reply that goes on
        self._replies: deque[bytes] = deque()
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._give_up_at = float("inf")
        self._waits_for = ""
        self._paused = False
        self._broken: str | None = None
        self._timer = self._loop.call_later(_LOOK_EVERY, self._look_at_the_clock)

    @property
    def broken(self) -> str | None:
        """Why the connection is gone, or None while it stands."""
        return self._broken

    @property
    def spoken_to(self) -> bool:
        """Whether the relay has said something that nobody asked, such as a 421 to an idle us."""
        return bool(self._replies)

    @property
    def tls(self) -> str:
        """The version of TLS that is spoken, or "" in the clear."""
        secured = self._transport.get_extra_info("ssl_object") if self._transport else None
        return (secured.version() or "") if secured is not None else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport and are no subclass of it
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._lines.append(line)
            if line[3:4] != b"-":
                self._replies.append(b"\n".join(self._lines))
                self._lines.clear()
        if len(self._rest) + sum(map(len, self._lines)) > _LONGEST_REPLY:
            self.abort("the relay's reply has no end")
        elif len(self._replies) >= self._wanted:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(f"connection lost ({exc})" if exc else "the relay closed the connection")
        self._timer.cancel()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._wanted == 0:
            self._wake()

    def write(self, *pieces: bytes) -> None:
        """Hand the bytes over in one go; raises WireBroken where nobody would get them."""
        self.refuse_broken()
        assert self._transport is not None
        self._transport.writelines(pieces)

    async def drained(self, *, timeout: float) -> None:
        """Wait until the peer has read most of what was written; raises WireBroken."""
        while self._paused and self._broken is None:
            await self._wait(0, timeout, "the relay reads nothing")
        self.refuse_broken()

    async def replies(self, number: int, *, timeout: float) -> Sequence[bytes]:
        """Return the next replies as they came, fewer where the connection broke before."""
        while len(self._replies) < number and self._broken is None:
            await self._wait(number, timeout, "no reply")
        return [self._replies.popleft() for _ in range(min(number, len(self._replies)))]

    async def reply(self, *, timeout: float) -> Reply:
        """Return the next reply, however many lines it has; raises WireBroken."""
        found = await self.replies(1, timeout=timeout)
        if not found:
            raise WireBroken(self._broken)
        return self.understood(found[0])

    def understood(self, raw: bytes) -> Reply:
        """Return the reply (RFC 5321 §4.2); raises WireBroken for what is none."""
        if raw[:3].isdigit() and raw[3:4] in b" " and b"\n" not in raw:
            return parse_reply(int(raw[:3]), raw[4:].decode("utf-8", "replace").strip())
        lines = raw.split(b"\n")
        if any(not line[:3].isdigit() or line[3:4] not in b" -\r" for line in lines):
            self.abort("the relay does not speak SMTP")
            self.refuse_broken()
        text = "\n".join(line[4:].decode("utf-8", "replace").strip() for line in lines)
        return parse_reply(int(lines[-1][:3]), text)

    async def start_tls(self, context: ssl.SSLContext, host: str, *, timeout: float) -> None:
        """Switch to TLS; whatever was sent in the clear before is refused (RFC 3207 §6)."""
        if self._replies or self._lines or self._rest:
            self.abort("the relay spoke before TLS stood")
            self.refuse_broken()
        assert self._transport is not None
        transport = await self._loop.start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=timeout
        )
        self._transport = cast(asyncio.Transport, transport)

    def abort(self, reason: str) -> None:
        """Give the connection up at once, without a word."""
        self._break(reason)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close after what was written has gone."""
        if self._transport is not None:
            self._transport.close()

    def refuse_broken(self) -> None:
        """Raise WireBroken, with the reason, where the connection is gone."""
        if self._broken is not None:
            raise WireBroken(self._broken)

    async def _wait(self, number: int, timeout: float, in_vain: str) -> None:
        """Wait for so many replies (0: for room to write), the end, or the timeout."""
        self._wanted, self._waits_for = number, f"{in_vain} within {timeout:.0f} s"
        self._give_up_at = self._loop.time() + timeout
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter, self._give_up_at = None, float("inf")

    def _look_at_the_clock(self) -> None:
        if self._loop.time() > self._give_up_at:
            self.abort(self._waits_for)
        elif self._broken is None:
            self._timer = self._loop.call_later(_LOOK_EVERY, self._look_at_the_clock)

    def _break(self, reason: str) -> None:
        if self._broken is None:
            self._broken = reason
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
