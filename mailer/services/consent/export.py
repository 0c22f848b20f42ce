"""One reader's consent records, gathered for the standards' formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.consent import (
    ConsentState,
    Method,
    SubscriptionState,
    asks_meanwhile,
    goes_on,
    next_state,
)
from mailer.domain.consent_records import (
    SUPERSEDED,
    ConsentRecord,
    RecordedEvent,
    RecordedNotice,
    RecordedPurpose,
    consent_receipt,
    consent_record,
)
from mailer.domain.links import Links
from mailer.services.newsletters.notices import label_shown
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    LogEntry,
    Newsletter,
    Notice,
    Publisher,
    Purpose,
    Subscriber,
)
from mailer.store.vault import Vault


class ExportFormat(StrEnum):
    """The standards that a reader's consent can be written down by."""

    ISO_27560 = "27560"
    KANTARA = "kantara"


class _Said(NamedTuple):
    """One event, and the wording that counts for it: its own, else the last one before it."""

    purpose: Purpose
    notice: Notice | None
    recorded: RecordedEvent


def export_consent(
    session: Session, reader: Subscriber, form: ExportFormat, *, links: Links
) -> list[dict[str, Any]]:
    """Return the reader's consent, one document for every wording that counted for them."""
    records = consent_records(session, reader, links=links)
    if form is ExportFormat.ISO_27560:
        return [consent_record(record) for record in records]
    receipts = [consent_receipt(record) for record in records]
    return [receipt for receipt in receipts if receipt is not None]


def consent_records(session: Session, reader: Subscriber, *, links: Links) -> list[ConsentRecord]:
    """Return one record for every newsletter and wording, in the order of their first events."""
    history = _history(session, reader)
    groups: dict[tuple[int, int | None], list[_Said]] = {}
    for said in history:
        notice_id = said.notice.id if said.notice else None
        groups.setdefault((said.purpose.newsletter_id, notice_id), []).append(said)
    last = _last(history)
    publisher = session.get(Publisher, 1)
    return [_record(reader, group, last, publisher, links) for group in groups.values()]


def _history(session: Session, reader: Subscriber) -> list[_Said]:
    """Return all that was said; a withdrawal belongs to the wording that it withdraws from."""
    vault = Vault.of(session)
    key = vault.open_key(reader.sealed_key)
    rows = session.execute(
        select(ConsentEvent, Purpose, Notice, ConsentEvidence.sealed, LogEntry.leaf_index)
        .join(Purpose, Purpose.id == ConsentEvent.purpose_id)
        .outerjoin(Notice, Notice.id == ConsentEvent.notice_id)
        .outerjoin(ConsentEvidence, ConsentEvidence.event == ConsentEvent.id)
        .outerjoin(LogEntry, LogEntry.event == ConsentEvent.id)
        .where(ConsentEvent.subscriber_id == reader.id)
        .order_by(ConsentEvent.id)
    )
    counts: dict[int, Notice | None] = {}
    history = []
    for event, purpose, notice, sealed, leaf_index in rows:
        if event.state in _BRINGS_ITS_WORDING or purpose.id not in counts:
            counts[purpose.id] = notice
        evidence = vault.open(key, event.event_id, sealed) if sealed else {}
        recorded = _recorded(event, purpose, notice, evidence, leaf_index)
        history.append(_Said(purpose, counts[purpose.id], recorded))
    return history


_BRINGS_ITS_WORDING = frozenset(
    state.value for state in (ConsentState.REQUESTED, ConsentState.GIVEN, ConsentState.RENEWED)
)


def _recorded(
    event: ConsentEvent,
    purpose: Purpose,
    notice: Notice | None,
    evidence: Mapping[str, str],
    leaf_index: int | None,
) -> RecordedEvent:
    return RecordedEvent(
        event_id=event.event_id,
        at=event.at,
        purpose=purpose.slug,
        state=event.state,
        method=event.method,
        basis=event.basis,
        notice_sha256=notice.sha256 if notice else None,
        notice_assumed=event.notice_assumed,
        stated_at=event.stated_at,
        valid_until=event.valid_until,
        evidence=evidence,
        leaf_hash=event.leaf_hash,
        leaf_index=leaf_index,
    )


def _record(
    reader: Subscriber,
    group: list[_Said],
    last: Mapping[int, Sequence[_Said]],
    publisher: Publisher | None,
    links: Links,
) -> ConsentRecord:
    newsletter, notice = group[0].purpose.newsletter, group[0].notice
    signup = links.signup(newsletter.slug)
    purposes = {said.purpose.id: said.purpose for said in group}
    return ConsentRecord(
        reader=reader.id,
        email=reader.email,
        newsletter=newsletter.slug,
        newsletter_name=newsletter.name,
        signup_url=signup,
        controller=notice.controller if notice else _controller(publisher, newsletter),
        notice=_notice(newsletter, notice, signup) if notice else None,
        language=notice.locale if notice else reader.locale or newsletter.locale,
        purposes=tuple(
            RecordedPurpose(
                purpose.slug,
                label_shown(newsletter, purpose, notice),
                purpose.kind,
                _state([said for said in group if said.purpose.id == purpose.id], last[purpose.id]),
            )
            for purpose in sorted(purposes.values(), key=lambda each: each.position)
        ),
        events=tuple(said.recorded for said in group),
    )


def _last(history: Sequence[_Said]) -> dict[int, list[_Said]]:
    """Return what was said last of each purpose, and what is asked for while that goes on."""
    last: dict[int, list[_Said]] = {}
    stands: dict[int, SubscriptionState | None] = {}
    for said in history:
        purpose_id, event = said.purpose.id, ConsentState(said.recorded.state)
        before, method = stands.get(purpose_id), Method(said.recorded.method)
        after = next_state(before, event, method, implied=True) or before
        if after is not None and goes_on(before, after) and asks_meanwhile(after, event):
            last[purpose_id].append(said)
        else:
            last[purpose_id] = [said]
        stands[purpose_id] = after
    return last


def _state(said: list[_Said], last: Sequence[_Said]) -> str:
    """Return where one purpose's events under one wording lead."""
    if not any(said[-1] is each for each in last):
        return SUPERSEDED
    state: SubscriptionState | None = None
    for each in said:
        event, method = ConsentState(each.recorded.state), Method(each.recorded.method)
        if state is None and event is ConsentState.RENEWED:
            state = SubscriptionState.ACTIVE  # under the wording before
        state = next_state(state, event, method) or state
    assert state is not None, "an event that changes nothing is not recorded"
    return state.value


def _controller(publisher: Publisher | None, newsletter: Newsletter) -> dict[str, str]:
    return {
        "name": (publisher.name if publisher else "") or newsletter.name,
        "address": (publisher.address if publisher else "") or newsletter.postal_address,
        "contact": (publisher.contact if publisher else "")
        or newsletter.reply_to
        or newsletter.from_address,
        "jurisdiction": publisher.jurisdiction if publisher else "",
    }


def _notice(newsletter: Newsletter, notice: Notice, signup: str) -> RecordedNotice:
    return RecordedNotice(
        id=f"{newsletter.slug}/{notice.locale}/{notice.version}",
        version=notice.version,
        sha256=notice.sha256,
        locale=notice.locale,
        text=notice.text,
        url=str(notice.links.get("privacy") or signup),
    )
