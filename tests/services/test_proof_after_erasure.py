"""The whole promise at once: said, proved, forgotten, and still provable and sound."""

from __future__ import annotations

import json
from datetime import timedelta

import audits
import building as b

from mailer.domain.addresses import parse_address
from mailer.domain.proofs import verify_proof
from mailer.services.consent.checkpoints import sign_checkpoint
from mailer.services.consent.proving import Asked, prove
from mailer.services.privacy.erasing import clean_up, erase
from mailer.services.privacy.old_files import Folders
from mailer.services.privacy.retention import Job, retain
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

LATER = timedelta(days=400)


def test_a_proof_verifies_after_its_reader_is_forgotten_and_the_audit_finds_nothing(
    parts: Parts,
) -> None:
    b.sending_campaign(parts, 3)
    b.send_all(parts, MemoryTransport())
    asked = Asked("reader1@readers.test", None, parts.suppression_key, "editor@desk")
    document = prove(parts.sessions, parts.notary, asked, now=parts.now())
    file = json.dumps(document).encode()
    keys = parts.notary.public_keys(document["checkpoint"].partition("\n")[0])
    address, now = parse_address("reader1@readers.test"), parts.now()
    with parts.sessions.begin() as session:
        gone = erase(session, address, key=parts.suppression_key, method="cli", now=now)
    assert not clean_up(parts.sessions, parts.places, gone, now=parts.now).waits
    owner = parts.settings.migration_url
    folders = Folders(parts.settings.home, parts.settings.inbox_dir)
    old = Job(parts.sessions, folders, lambda: parts.now() + LATER, lambda: None, owner)
    retain(old, parts.settings.retention)
    signed = sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    before = verify_proof(file, keys)
    assert before.events[0]["personal"]["address"] == "reader1@readers.test"
    assert signed.checkpoint.size == before.checkpoint.size + 1  # the erasure itself
    audit = audits.audit(parts)
    assert [each for each in audit.findings() if not each.kind.is_note] == []
