"""A relay that looks into every mail: the reader's own link, one mail each, nothing else alike.

Slower than Postfix's smtp-sink; so it takes the run that is verified, beside the runs that are
timed.
"""

from __future__ import annotations

import asyncio
import hashlib
import re

from mailer.domain.tokens import TokenKind, TokenSigner

_LINK = re.compile(rb"(?m)^List-Unsubscribe: <https://news\.example\.org/u/([\w-]+)>\r$")
_TAKEN = b"250 2.0.0 Ok: queued as BENCH\r\n"
_END = b"\r\n.\r\n"


class BadMail(Exception):
    """A mail that no reader should get."""


class VerifyingSink:
    """Takes mails, checks each, and counts."""

    def __init__(self, signer: TokenSigner, *, pause: float = 0.0, turned_away: str = "") -> None:
        self._signer = signer
        self.turned_away = turned_away.encode()
        """The domain whose readers' mails are answered with 421."""
        self.pause = pause
        """Seconds before a mail is answered; other conversations go on meanwhile."""
        self._bodies: set[bytes] = set()
        self.readers: set[int] = set()
        self.problems: list[str] = []
        self.port = 0

    async def start(self) -> None:
        """Listen on a free loopback port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Talk(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        self._server.close()
        await self._server.wait_closed()

    def take(self, recipient: bytes, mail: bytes) -> None:
        """Check one mail; what is wrong is kept in `problems`."""
        try:
            self._check(recipient, mail)
        except BadMail as problem:
            self.problems.append(f"{recipient.decode()}: {problem}")

    def _check(self, recipient: bytes, mail: bytes) -> None:
        found = _LINK.search(mail)
        token = self._signer.read(found.group(1).decode(), TokenKind.UNSUBSCRIBE) if found else None
        if token is None:
            raise BadMail("the link to leave does not work")
        if recipient != b"reader%d@readers.example" % token.subscriber_id:
            raise BadMail(f"the link to leave is reader {token.subscriber_id}'s")
        if token.subscriber_id in self.readers:
            raise BadMail("the second mail to the same reader")
        assert found is not None
        joined = mail.replace(b"=\r\n", b"")
        if joined.count(found.group(1)) < 3:  # the header, the text part, the HTML part
            raise BadMail("the link to leave is missing in the body")
        digest = hashlib.blake2b(mail.partition(b"\r\n\r\n")[2], digest_size=16).digest()
        if digest in self._bodies:
            raise BadMail("the same body as another's")
        self._bodies.add(digest)
        self.readers.add(token.subscriber_id)


class _Talk(asyncio.Protocol):
    """One conversation, as much of SMTP as a sender needs."""

    def __init__(self, sink: VerifyingSink) -> None:
        self._sink = sink
        self._buffer = b""
        self._recipient = b""
        self._in_data = False
        self._pausing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._steps()

    def _go_on(self) -> None:
        self._pausing = False
        self._transport.write(_TAKEN)
        self._steps()

    def _steps(self) -> None:
        while not self._pausing and self._step():
            pass

    def _step(self) -> bool:
        end = self._buffer.find(_END if self._in_data else b"\r\n")
        if end < 0:
            return False
        if self._in_data:
            mail, self._buffer = self._buffer[: end + 2], self._buffer[end + len(_END) :]
            self._in_data = False
            self._sink.take(self._recipient, mail)
            if self._sink.pause:
                self._pausing = True
                asyncio.get_running_loop().call_later(self._sink.pause, self._go_on)
                return False
            self._transport.write(_TAKEN)
            return True
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        self._answer(line)
        return True

    def _answer(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"EHLO":
            self._transport.write(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
        elif verb == b"RCPT":
            self._recipient = line.partition(b"<")[2].partition(b">")[0]
            if self._sink.turned_away and self._recipient.endswith(self._sink.turned_away):
                self._transport.write(b"421 4.7.28 unusual rate of mail\r\n")
                self._transport.close()
                return
            self._transport.write(b"250 2.1.5 Ok\r\n")
        elif verb == b"DATA":
            self._in_data = True
            self._transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 2.0.0 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 2.0.0 Ok\r\n")
