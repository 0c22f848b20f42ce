"""The built-in inbox: a real SMTP listener that keeps every mail in a folder."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.parser import Parser
from email.policy import compat32, default
from email.utils import getaddresses
from pathlib import Path

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailer.domain.errors import Refusal

_log = structlog.get_logger()

_LARGEST = 30 * 1024 * 1024
_ADDRESS_FILE = "address"
_LOCK_FILE = ".lock"
_LOOK_EVERY = 0.5


class NoInbox(Refusal):
    """The listener of the built-in inbox is not running."""


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """One mail in the inbox."""

    id: str
    sender: str
    to: str
    subject: str
    date: datetime | None
    raw: bytes
    message: EmailMessage

    def part(self, subtype: str) -> str:
        """Return the decoded text of the part `text/<subtype>`, or nothing."""
        for part in self.message.walk():
            if part.get_content_type() == f"text/{subtype}":
                return str(part.get_content())
        return ""


class Mailbox:
    """A folder of mails, one file each; newest first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, raw: bytes) -> str:
        """Keep the mail; when this returns it is on the disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mail_id = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        temporary = self.folder / f".{mail_id}.part"
        with temporary.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self.folder / f"{mail_id}.eml")
        return mail_id

    def ids(self) -> list[str]:
        """Return the names of all mails, newest first."""
        return sorted((path.stem for path in self.folder.glob("*.eml")), reverse=True)

    def get(self, mail_id: str) -> CaughtMail | None:
        """Return one mail, or None where there is none of that name."""
        if mail_id not in self.ids():  # a name from outside never becomes a path
            return None
        raw = (self.folder / f"{mail_id}.eml").read_bytes()
        message = message_from_bytes(raw, policy=default)
        assert isinstance(message, EmailMessage)
        date = message["Date"].datetime if message["Date"] else None
        return CaughtMail(
            id=mail_id,
            sender=str(message["From"] or ""),
            to=str(message["To"] or ""),
            subject=str(message["Subject"] or ""),
            date=date,
            raw=raw,
            message=message,
        )

    def latest(self, limit: int) -> list[CaughtMail]:
        """Return the newest mails."""
        found = (self.get(mail_id) for mail_id in self.ids()[:limit])
        return [mail for mail in found if mail is not None]

    def forget(self, is_theirs: Callable[[str], bool]) -> int:
        """Delete the mails to an address, also what was only begun; return how many there were."""
        gone = 0
        for pattern in ("*.eml", ".*.part"):
            for path in list(self.folder.glob(pattern)):
                with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
                    if any(map(is_theirs, _recipients(path.read_bytes()))):
                        path.unlink()
                        gone += 1
        return gone

    def clear(self) -> int:
        """Delete all mails; return how many there were."""
        ids = self.ids()
        for mail_id in ids:
            (self.folder / f"{mail_id}.eml").unlink(missing_ok=True)
        return len(ids)


def _recipients(raw: bytes) -> list[str]:
    """Return the addresses that a mail is to; a header that is not ASCII is UTF-8 (RFC 6532)."""
    headers = raw.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    named = Parser(policy=compat32).parsestr(headers, headersonly=True).get_all("To", [])
    return [address for _, address in getaddresses(named)]


class CaptureListener:
    """Listens on a free loopback port and says in the folder which one it is.

    One process at a time, by a lock that ends with it however it ends. Another waits for its turn:
    the mails are files, and it shows them all the same.
    """

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._server: asyncio.Server | None = None
        self._lock: int | None = None
        self._turn: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen on the running loop, now or when the one who does has ended."""
        self._mailbox.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._mailbox.folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        if self._is_our_turn():
            await self._listen()
            return
        _log.warning(
            "another process catches the mails: they are shown here too, and caught here when it "
            "has ended",
            folder=str(self._mailbox.folder),
        )
        self._turn = asyncio.create_task(self._wait())

    async def stop(self) -> None:
        """Stop listening, and leave the folder to whoever waits for it."""
        if self._turn is not None:
            self._turn.cancel()
        if self._server is not None:
            (self._mailbox.folder / _ADDRESS_FILE).unlink(missing_ok=True)
            self._server.close()
        if self._lock is not None:
            os.close(self._lock)

    def _is_our_turn(self) -> bool:
        assert self._lock is not None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def _wait(self) -> None:
        while not self._is_our_turn():
            await asyncio.sleep(_LOOK_EVERY)
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            self._protocol(), host="127.0.0.1", port=0
        )
        host, port = self._server.sockets[0].getsockname()[:2]
        temporary = self._mailbox.folder / f".{_ADDRESS_FILE}"
        temporary.write_text(f"{host}:{port}", "utf-8")
        temporary.rename(self._mailbox.folder / _ADDRESS_FILE)

    def _protocol(self) -> Callable[[], SMTP]:
        handler = _Handler(self._mailbox)
        loop = asyncio.get_running_loop()
        return lambda: SMTP(
            handler,
            hostname="inbox.invalid",
            enable_SMTPUTF8=True,
            data_size_limit=_LARGEST,
            loop=loop,
        )


class _Handler:
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        mail_id = await asyncio.to_thread(self._mailbox.save, content)
        return f"250 2.0.0 Ok: queued as {mail_id.rpartition('-')[2]}"


def capture_address(folder: Path) -> tuple[str, int]:
    """Return where the inbox listens; raises NoInbox with what to do."""
    try:
        host, _, port = (folder / _ADDRESS_FILE).read_text("utf-8").partition(":")
        return host, int(port)
    except (OSError, ValueError):
        raise NoInbox(
            "The built-in inbox is not running: start `mailer web` or `mailer up`, "
            "or set MAILER_SMTP_URL to a relay."
        ) from None
