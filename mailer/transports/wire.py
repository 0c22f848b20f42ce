"""Bytes to and from a relay: replies are read whole, writes wait for a slow peer."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import cast

from mailer.domain.replies import Reply, parse_reply

_LONGEST_LINE = 8_192  # RFC 5321 §4.5.3.1.5 says 512; some relays say more
_MOST_LINES = 100


class WireBroken(Exception):
    """The connection is of no use any more; the message says why."""


class Wire(asyncio.Protocol):
    """One TCP connection, with replies cut from the stream."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._broken: str | None = None

    @property
    def broken(self) -> bool:
        """Whether the connection is gone."""
        return self._broken is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport and are no subclass of it
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(f"connection lost ({exc})" if exc else "the relay closed the connection")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def write(self, data: bytes, *, timeout: float) -> None:
        """Hand the bytes to the system and wait while its buffers are full; may raise."""
        self._refuse_broken()
        assert self._transport is not None
        self._transport.write(data)
        if not self._writable.is_set():
            try:
                await asyncio.wait_for(self._writable.wait(), timeout)
            except TimeoutError:
                self.abort("the relay reads nothing")
        self._refuse_broken()

    async def read_reply(self, *, timeout: float) -> Reply:
        """Return the next reply, however many lines it has (RFC 5321 §4.2)."""
        texts: list[str] = []
        try:
            async with asyncio.timeout(timeout):
                while True:
                    line = await self._line()
                    if (
                        len(line) < 3
                        or not line[:3].isdigit()
                        or line[3:4] not in (b"", b" ", b"-")
                    ):
                        self.abort("the relay does not speak SMTP")
                        self._refuse_broken()
                    texts.append(line[4:].decode("utf-8", "replace").strip())
                    if line[3:4] != b"-":
                        return parse_reply(int(line[:3]), "\n".join(texts))
                    if len(texts) > _MOST_LINES:
                        self.abort("the relay's reply has no end")
        except TimeoutError:
            self.abort(f"no reply within {timeout:.0f} s")
            raise WireBroken(self._broken) from None

    async def start_tls(self, context: ssl.SSLContext, host: str, *, timeout: float) -> None:
        """Switch to TLS; whatever was sent in the clear before is refused (RFC 3207 §6)."""
        if self._received:
            self.abort("the relay spoke before TLS stood")
            self._refuse_broken()
        assert self._transport is not None
        transport = await self._loop.start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=timeout
        )
        transport = cast(asyncio.Transport, transport)
        self._transport = transport

    def abort(self, reason: str) -> None:
        """Give the connection up at once, without a word."""
        self._break(reason)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close after what was written has gone."""
        if self._transport is not None:
            self._transport.close()

    async def _line(self) -> bytes:
        while True:
            end = self._received.find(b"\n")
            if end >= 0:
                line = bytes(self._received[:end]).rstrip(b"\r")
                del self._received[: end + 1]
                return line
            if len(self._received) > _LONGEST_LINE:
                self.abort("the relay's reply is too long")
            self._refuse_broken()
            self._waiter = self._loop.create_future()
            await self._waiter

    def _refuse_broken(self) -> None:
        if self._broken is not None:
            raise WireBroken(self._broken)

    def _break(self, reason: str) -> None:
        if self._broken is None:
            self._broken = reason
        self._writable.set()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None
