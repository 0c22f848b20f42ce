"""Whether every consent event is what its leaf says, was offered by its wording, and is logged."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy.orm import Session

from mailer.domain.leaf_text import leaf_hash, quoted_notice
from mailer.domain.leaves import NoticeRef
from mailer.services.audit.findings import Finding, Kind
from mailer.services.audit.notices import NoticeCheck
from mailer.store.auditing import EventRow
from mailer.store.auditing_log import PurposeRow, read_notices, read_purposes

_TABLE = "consent_event"
_NAMED = 1_000
"""So many events are named where their wording is gone; the wording itself says how many it has."""


class EventCheck:
    """Compares events with their leaves, one after the other."""

    def __init__(self, notices: NoticeCheck) -> None:
        self.purposes: dict[int, PurposeRow] = {}
        self._notices = notices
        self._quoted: dict[tuple[int, int], str] = {}

    def learn(self, session: Session, events: Sequence[EventRow]) -> Iterator[Finding]:
        """Read the purposes and wordings that were added since the walk began."""
        if not {event.purpose_id for event in events} <= self.purposes.keys():
            self.purposes.update(read_purposes(session))
        if not {event.notice_id for event in events} <= self._notices.rows.keys() | {None}:
            yield from self._notices.take(read_notices(session))

    def check(self, event: EventRow) -> Iterator[Finding]:
        """Yield what does not hold of this event."""
        purpose = self.purposes.get(event.purpose_id)
        if purpose is None or purpose.newsletter_id != event.newsletter_id:
            yield _found(
                event,
                f"It is for purpose {event.purpose_id}, which newsletter {event.newsletter_id} "
                "does not have.",
            )
            return
        wording = event.notice_id
        if wording is not None and wording not in self._notices.rows:
            if self._notices.unchecked_under(wording) <= _NAMED:
                yield _found(event, f"It was given under notice {wording}, which is not there.")
        elif wording is not None and wording in self._notices.broken:
            self._notices.unchecked_under(wording)
        else:
            yield from self._leaf(event, purpose)
            yield from self._wording(event, purpose)
        yield from _place(event)

    def _leaf(self, event: EventRow, purpose: PurposeRow) -> Iterator[Finding]:
        try:
            is_right = self._hash(event, purpose) == event.leaf_hash
        except (TypeError, ValueError, AttributeError, LookupError):
            is_right = False
        if event.notice_id is not None:
            self._notices.judged(event.notice_id, is_right=is_right)
        if not is_right:
            yield _found(
                event,
                "Its columns do not come to its leaf hash: the row was changed after it was "
                "written.",
            )

    def _hash(self, event: EventRow, purpose: PurposeRow) -> bytes:
        # By position, and the row's own order: this runs for every event there is.
        event_id, at, _, _, reader, state, method, basis, _, committed, stated, until, *_ = event
        notice = self._notice(event)
        return leaf_hash(
            event_id, at, purpose.newsletter, purpose.slug, reader, state, method, basis,
            notice, committed, stated, until,
        )  # fmt: skip

    def _notice(self, event: EventRow) -> str:
        if event.notice_id is None:
            return "null"
        key = (event.notice_id, event.notice_assumed)
        if key not in self._quoted:
            row = self._notices.rows[event.notice_id]
            assumed = {0: False, 1: True}[event.notice_assumed]
            self._quoted[key] = quoted_notice(
                NoticeRef(row.sha256, row.version, row.locale, assumed)
            )
        return self._quoted[key]

    def _wording(self, event: EventRow, purpose: PurposeRow) -> Iterator[Finding]:
        if event.notice_id is None:
            if event.notice_assumed != 0:
                yield _found(event, "It assumes a wording and names none.")
            return
        words = self._notices.objection(event.notice_id, purpose)
        if words:
            yield _found(event, words)


def _place(event: EventRow) -> Iterator[Finding]:
    if event.leaf_index is None and event.pending is None:
        yield Finding(
            Kind.LOG, _TABLE, str(event.id),
            "It has no place in the log and does not wait for one: its row in consent_log or in "
            "consent_pending is gone, or the event was put in past the log.",
        )  # fmt: skip
    elif event.leaf_index is not None and event.pending is not None:
        yield Finding(
            Kind.LOG, "consent_pending", str(event.id),
            f"The event waits for a place in the log and has place {event.leaf_index} already.",
        )  # fmt: skip


def of_nothing(table: str, events: Collection[int]) -> Iterator[Finding]:
    """Yield the rows of a table that belong to no event."""
    kind = Kind.EVIDENCE if table == "consent_evidence" else Kind.LOG
    for event in events:
        yield Finding(kind, table, str(event), f"There is no consent event {event}.")


def _found(event: EventRow, words: str) -> Finding:
    reader = {"reader": event.subscriber_id}
    return Finding(Kind.EVENT, _TABLE, str(event.id), words, reader)
