"""Preparing: everything of a new reader that can be known before the database is asked.

Sealing, committing and hashing cost more than writing; they are done ahead, as though every reader
were new, in a process of their own where the list is long. What turns out to be known already is
dropped, and prepared again with the reader's own key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from mailer.domain.consent import Basis, ConsentState, Method, SubscriptionState, next_state
from mailer.domain.importing import ListRow, Reader, Standing
from mailer.domain.leaf_text import LeafSpelling, PersonalSpelling, quoted_notice
from mailer.domain.leaves import NoticeRef, commitment_key, commitment_to
from mailer.domain.spans import Span
from mailer.store.consents import event_id_of
from mailer.store.importing.shapes import Same, Shape, shape_for
from mailer.store.vault import Vault

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (its text is what we are after; all is in UTC)


@dataclass(frozen=True, slots=True)
class Terms:
    """What all consents of one import have in common."""

    dialect: str
    newsletter_id: int
    newsletter: str
    purposes: tuple[tuple[int, str], ...]  # id and slug
    notice_id: int | None
    notice: NoticeRef | None
    basis: Basis
    valid_for: Span | None
    source: str
    file_name: str
    asks: bool
    """Subscribed rows are asked to confirm, one by one; nothing of them is prepared."""

    def source_of(self, line: int) -> str:
        """Return where the consent of a row comes from, as the evidence keeps it."""
        return f"{self.source} ({self.file_name}, line {line})"


class Request(NamedTuple):
    """When readers are prepared, and numbers that nobody else has for them and their events.

    SQLite gives events their numbers when they are written; then there are none here.
    """

    at: int  # milliseconds since 1970
    reader_ids: Sequence[int]
    event_numbers: Sequence[int]


class Said(NamedTuple):
    """One event as rows of four tables; SQLite numbers it, and makes two of them, by itself."""

    subscription: Any
    event: Any
    evidence: Any
    pending: Any
    event_id: str
    ends: int | None
    """When an implied consent ends, in milliseconds since 1970."""


class Batch(NamedTuple):
    """Readers in the order of their hashes, each with the rows of each table if they are new.

    The lists run side by side; `said` has one place for every purpose of every reader. Where a
    reader cannot be new, there is nothing.
    """

    readers: list[Reader]
    subscribers: list[Any]
    said: list[Said | None]

    def said_by(self, places: Sequence[int]) -> Sequence[Said]:
        """Return what the readers in these places say; each of them has rows."""
        purposes = len(self.said) // len(self.readers)
        said: list[Any] = self.said
        if purposes == 1:
            return [said[place] for place in places]
        return [one for place in places for one in said[place * purposes : (place + 1) * purposes]]


class _Kind(NamedTuple):
    """What all events of one purpose and one state have in common."""

    same: Same
    alike: Any
    leaves: LeafSpelling
    valid_for: Span | None


class Preparer:
    """Prepares readers under the terms of one import."""

    def __init__(self, terms: Terms, vault: Vault) -> None:
        self.terms = terms
        self.vault = vault
        self._shape: Shape = shape_for(terms.dialect)
        self._personal = PersonalSpelling(terms.source, terms.file_name)
        self._kinds: dict[tuple[int, ConsentState], _Kind] = {}
        self._at = 0
        self._at_text = ""

    def prepare(self, readers: Iterable[Reader], request: Request) -> Batch:
        """Return every reader, prepared as though new, in the order given."""
        self.begin(request.at)
        ids, numbers = iter(request.reader_ids), iter(request.event_numbers)
        places, asks = range(len(self.terms.purposes)), self.terms.asks
        batch = Batch([], [], [])
        for reader in readers:
            row = reader.row
            state = _SAID.get(row.standing)
            batch.readers.append(reader)
            if state is None or (asks and state is ConsentState.GIVEN):
                batch.subscribers.append(None)
                batch.said.extend(None for _ in places)
                continue
            key, sealed = self.vault.new_key()
            reader_id = next(ids)
            batch.subscribers.append(self._shape.subscriber(reader_id, row, self._at_text, sealed))
            for place in places:
                number = next(numbers, None)
                batch.said.append(self.say(row, place, state, reader_id, key, row.email, number))
        return batch

    def begin(self, at: int) -> None:
        """Take the time that the next events are recorded at."""
        if at != self._at:
            self._at, self._at_text = at, _text_of(at)
            self._kinds.clear()

    def say(
        self,
        row: ListRow,
        place: int,
        state: ConsentState,
        reader_id: int,
        key: bytes,
        email: str,
        number: int | None,
    ) -> Said:
        """Return one event of a reader: what the row says for the purpose in this place."""
        kind = self._kinds.get((place, state)) or self._kind(place, state)
        ends = stated_text = ends_text = None
        if row.stated_at is not None:
            stated_text = _text_of(row.stated_at)
        if kind.valid_for is not None:
            since = self._at if row.stated_at is None else row.stated_at
            ends = _milliseconds(kind.valid_for.after(_EPOCH + timedelta(milliseconds=since)))
            ends_text = _text_of(ends)
        event_id = event_id_of(self._at)
        personal = self._personal.spell(email, row.line)
        committed = commitment_to(commitment_key(key, event_id), personal)
        hashed = kind.leaves.hash(
            event_id, reader_id, committed,
            _instant_of_any(stated_text), _instant_of_any(ends_text),
        )  # fmt: skip
        shape = self._shape
        return Said(
            shape.subscription(reader_id, kind.same, ends_text),
            shape.event(
                number, event_id, reader_id, stated_text, ends_text, committed, hashed, kind.alike
            ),
            shape.evidence(number, self.vault.seal_spelled(key, event_id, personal)),
            shape.pending(number),
            event_id,
            ends,
        )

    def _kind(self, place: int, state: ConsentState) -> _Kind:
        terms, given = self.terms, state is ConsentState.GIVEN
        purpose_id, purpose = terms.purposes[place]
        basis = terms.basis if given else Basis.CONSENT
        notice = quoted_notice(terms.notice) if given and terms.notice else "null"
        same = Same(
            terms.newsletter_id, purpose_id, state.value, _METHOD, basis.value,
            terms.notice_id if given else None, False, self._at_text, FOLLOWS[state],
        )  # fmt: skip
        leaves = LeafSpelling(
            _instant(self._at_text), terms.newsletter, purpose, same.state, same.method, same.basis,
            notice,
        )  # fmt: skip
        valid_for = terms.valid_for if given else None
        kind = _Kind(same, self._shape.alike(same), leaves, valid_for)
        self._kinds[place, state] = kind
        return kind


_METHOD = Method.IMPORT.value
_SAID = {
    Standing.SUBSCRIBED.value: ConsentState.GIVEN,
    Standing.UNSUBSCRIBED.value: ConsentState.REFUSED,
}
"""What a row says for a reader who is new; the others leave no consent event."""
FOLLOWS = {
    state: SubscriptionState(str(next_state(None, state, Method.IMPORT))).value
    for state in _SAID.values()
}
"""Where an event puts a reader who had no subscription."""


def _text_of(milliseconds: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(" ", "milliseconds")


def _instant(text: str) -> str:
    """Return a moment as a leaf spells it (`domain.leaves.instant`)."""
    return f"{text[:10]}T{text[11:]}Z"


def _instant_of_any(text: str | None) -> str | None:
    return None if text is None else _instant(text)


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
