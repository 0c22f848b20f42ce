"""Mails as the sender hands them over, signed where the settings say so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import building as b
import pytest
from conftest import opened, settings_for
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from verifiers import dkimpy_verdicts, records_of

from mailer.transports.capture import CaptureListener
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts


@pytest.fixture
def signing_parts(database_url: str, tmp_path: Path) -> Iterator[Parts]:
    """An installation whose settings name a key."""
    key = rsa.generate_private_key(65537, 2048)
    path = tmp_path / "dkim.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    more = {"DOMAIN": "News.Test", "SELECTOR": "m1", "KEY_FILE": str(path)}
    names = {f"MAILER_DKIM_{name}": value for name, value in more.items()}
    yield from opened(settings_for(database_url, tmp_path / "home", **names))


def test_every_readers_mail_leaves_with_a_signature_that_verifies(signing_parts: Parts) -> None:
    records = _records(signing_parts)
    b.sending_campaign(signing_parts, 5)
    with signing_parts.sessions.begin() as session:
        made = b.newsletter(session, "daily")
        b.sign_up(signing_parts, session, made, "new@readers.test", now=signing_parts.now())
    transport = MemoryTransport()
    b.send_all(signing_parts, transport)
    assert len(transport.accepted) == 6
    for envelope, content in transport.accepted:
        assert dkimpy_verdicts(content, records) == [True]
        assert content.startswith(b"DKIM-Signature: ")
        assert envelope.size == len(content)
        if envelope.recipient != "new@readers.test":
            listed = re.search(rb"h=([^;]*);", content)
            assert listed
            assert listed[1].count(b"List-Unsubscribe:") >= 1
            assert listed[1].count(b"List-Unsubscribe-Post") == 2
    signatures = {content.split(b"\r\nFrom:")[0] for _, content in transport.accepted}
    assert len(signatures) == 6


def test_what_a_relay_receives_from_a_worker_verifies(signing_parts: Parts) -> None:
    assert signing_parts.mailbox is not None
    mailbox, records = signing_parts.mailbox, _records(signing_parts)
    b.sending_campaign(signing_parts, 3)

    async def run() -> None:
        listener = CaptureListener(mailbox)
        await listener.start()
        sender = signing_parts.sender("test")
        sender.start()
        assert await asyncio.to_thread(sender.idle.wait, 30)
        await asyncio.to_thread(sender.stop)
        await listener.stop()

    asyncio.run(run())
    received = mailbox.latest(9)
    assert len(received) == 3
    assert all(dkimpy_verdicts(mail.raw, records) == [True] for mail in received)


def test_without_a_key_mails_leave_unsigned(sqlite_parts: Parts) -> None:
    b.sending_campaign(sqlite_parts, 1)
    transport = MemoryTransport()
    b.send_all(sqlite_parts, transport)
    assert b"DKIM-Signature" not in transport.accepted[0][1]


def _records(parts: Parts) -> dict[str, str]:
    assert parts.dkim is not None
    return records_of([key.record(parts.dkim.domain) for key in parts.dkim.keys])
