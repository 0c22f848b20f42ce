"""Proving what a reader said: the events, their way to a signed root, the wording, the evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.domain.leaves import Leaf, NoticeRef, commitment_key
from mailer.domain.proof_shape import BadProof
from mailer.domain.proofs import EventProof, proof_document, verify_proof
from mailer.services.consent.checkpoints import Notary, Signed, latest_signed, sign_checkpoint
from mailer.services.consent.log import sequence_leaves
from mailer.services.newsletters.notices import wording_of
from mailer.services.readers.readers import require_reader
from mailer.store.actions import note_action
from mailer.store.engine import Sessions, reading
from mailer.store.log import LogDamaged, LogTree, log_size
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    LogEntry,
    Newsletter,
    Notice,
    Purpose,
    Subscriber,
)
from mailer.store.vault import Vault

_EVENT = re.compile(r"events\[(\d+)\]")


class NothingToProve(Refusal):
    """There is no such event."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose events are to be proved; one of them, or all where `event_id` is None."""

    reader: str  # address or id
    event_id: str | None
    suppression_key: bytes
    operator: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """One event with all that its proof needs."""

    event: ConsentEvent
    index: int
    newsletter: Newsletter
    purpose: str
    notice: Notice | None
    sealed: bytes | None

    def leaf(self) -> dict[str, Any]:
        """Return the leaf as the columns say it; its hash shows whether they were changed."""
        event, notice = self.event, self.notice
        return Leaf(
            event_id=event.event_id,
            at=event.at,
            newsletter=self.newsletter.slug,
            purpose=self.purpose,
            reader=event.subscriber_id,
            state=event.state,
            method=event.method,
            basis=event.basis,
            notice=NoticeRef(notice.sha256, notice.version, notice.locale, event.notice_assumed)
            if notice
            else None,
            commitment=event.commitment,
            stated_at=event.stated_at,
            valid_until=event.valid_until,
        ).document()


def prove(sessions: Sessions, notary: Notary, asked: Asked, *, now: datetime) -> dict[str, Any]:
    """Return the proof file of a reader's events, checked as whoever gets it will check it.

    What waits for its place gets it first, and a checkpoint is signed where the last one does not
    cover the events. Raises NothingToProve, UnknownReader, LogDamaged, and what signing raises.
    """
    sequence_leaves(sessions)
    with reading(sessions) as session:
        reader, entries = _find(session, asked)
        signed = latest_signed(session, notary)
        if signed is not None and _covers(signed, entries):
            document = _document(session, reader, entries, signed)
        else:
            document = None
    if document is None:
        signed = sign_checkpoint(sessions, notary, now=now)
        with reading(sessions) as session:
            document = _document(session, reader, entries, signed)
    _note(sessions, asked, reader, entries, now)
    return document


def _find(session: Session, asked: Asked) -> tuple[Subscriber, list[_Entry]]:
    reader = require_reader(session, asked.reader, asked.suppression_key)
    statement = (
        select(ConsentEvent, LogEntry.leaf_index, Newsletter, Purpose.slug, Notice)
        .add_columns(ConsentEvidence.sealed)
        .join(Purpose, Purpose.id == ConsentEvent.purpose_id)
        .join(Newsletter, Newsletter.id == ConsentEvent.newsletter_id)
        .outerjoin(LogEntry, LogEntry.event == ConsentEvent.id)
        .outerjoin(Notice, Notice.id == ConsentEvent.notice_id)
        .outerjoin(ConsentEvidence, ConsentEvidence.event == ConsentEvent.id)
        .where(ConsentEvent.subscriber_id == reader.id)
        .order_by(ConsentEvent.id)
    )
    if asked.event_id is not None:
        statement = statement.where(ConsentEvent.event_id == asked.event_id)
    entries = [_Entry(*row) for row in session.execute(statement)]
    if not entries:
        what = f"no consent event {asked.event_id}" if asked.event_id else "not said anything yet"
        raise NothingToProve(
            f"{asked.reader} has {what}: see `mailer consent show {asked.reader}`."
        )
    for entry in entries:
        if entry.index is None:
            raise LogDamaged(
                f"Consent event {entry.event.event_id} has no place in the log and waits for none: "
                "the log was changed. `mailer consent audit` says what is missing."
            )
    return reader, entries


def _covers(signed: Signed, entries: list[_Entry]) -> bool:
    return all(entry.index < signed.checkpoint.size for entry in entries)


def _document(
    session: Session, reader: Subscriber, entries: list[_Entry], signed: Signed
) -> dict[str, Any]:
    """Return the proof file; raises LogDamaged where it would not be believed."""
    vault = Vault.of(session)
    reader_key = vault.open_key(reader.sealed_key)
    tree = LogTree(session, log_size(session))
    proofs = []
    for entry in entries:
        event_id = entry.event.event_id
        opened = vault.open(reader_key, event_id, entry.sealed) if entry.sealed else None
        path = tree.inclusion_path(entry.index, signed.checkpoint.size)
        key = commitment_key(reader_key, event_id) if opened is not None else None
        proofs.append(EventProof(entry.leaf(), entry.index, path, key, opened))
    document = proof_document(signed.note, signed.key, proofs, _wordings(entries))
    try:
        verify_proof(json.dumps(document).encode(), [signed.key])
    except BadProof as bad:
        named = _EVENT.match(bad.where)
        event_id = entries[int(named[1])].event.event_id if named else ""
        raise LogDamaged(
            f"No proof can be made: the database was changed. {bad.where or 'the file'}"
            f"{f' (consent event {event_id})' if event_id else ''}: {bad.reason} "
            "`mailer consent audit` says what else was."
        ) from None
    return document


def _wordings(entries: list[_Entry]) -> Mapping[str, Mapping[str, Any]]:
    found = {}
    for entry in entries:
        if entry.notice is not None:
            wording = wording_of(entry.newsletter, entry.notice)
            found[entry.notice.sha256] = json.loads(wording.canonical())
    return found


def _note(
    sessions: Sessions, asked: Asked, reader: Subscriber, entries: list[_Entry], now: datetime
) -> None:
    with sessions.begin() as session:
        note_action(
            session,
            asked.operator,
            "consent prove",
            now=now,
            subscriber_id=reader.id,
            details={"events": [entry.event.event_id for entry in entries]},
        )
