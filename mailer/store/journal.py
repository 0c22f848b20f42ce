"""What no old backup may undo, written down for the witness folder.

A line is written in the transaction that it tells of, and waits here until the folder has it
(`mailer.services.consent.witnessing`). Lines name a reader by the keyed hash of the address.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mailer.domain.consent import ENDS, ConsentState, Method
from mailer.domain.leaves import instant
from mailer.domain.suppression import SuppressionReason
from mailer.store.models import JournalPending
from mailer.store.witness_folder import whole_number


class Journal(StrEnum):
    """The journals, in the order in which they are replayed."""

    ERASURES = "erasures"
    SUPPRESSIONS = "suppressions"
    WITHDRAWALS = "withdrawals"


@dataclass(frozen=True, slots=True)
class Erased:
    """The reader with this number was forgotten."""

    at: datetime
    address_hash: str
    reader: int
    method: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    """The address must not be mailed; without a reason: it may be mailed again."""

    at: datetime
    address_hash: str
    scope: str
    reason: SuppressionReason | None


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The reader ended a consent, by this event."""

    at: datetime
    address_hash: str
    newsletter: str
    purpose: str
    state: ConsentState
    method: Method
    event_id: str


Entry = Erased | Suppressed | Withdrawn


def tell(session: Session, entry: Entry) -> None:
    """Let the entry reach its journal.

    After the rows that it tells of are written: so what concerns one address has its order.
    """
    journal = _JOURNALS[type(entry)]
    line = {name: _plain(value) for name, value in asdict(entry).items()}
    session.add(JournalPending(journal=journal.value, line=line))


def parse(journal: Journal, line: Mapping[str, Any]) -> Entry | None:
    """Return what the line tells; None where it tells nothing that we understand.

    What anybody else may have written there is not believed any further: no line brings a consent.
    """
    try:
        at, hashed = _moment(line["at"]), str(line["address_hash"])
        match journal:
            case Journal.ERASURES:
                return Erased(at, hashed, whole_number(line["reader"]), str(line["method"]))
            case Journal.SUPPRESSIONS:
                reason = SuppressionReason(line["reason"]) if line["reason"] else None
                return Suppressed(at, hashed, str(line["scope"]), reason)
            case Journal.WITHDRAWALS:
                return Withdrawn(
                    at, hashed, str(line["newsletter"]), str(line["purpose"]),
                    _ending(line["state"]), Method(line["method"]), str(line["event_id"]),
                )  # fmt: skip
    except (KeyError, ValueError, TypeError):
        return None


def untold(session: Session, limit: int) -> list[JournalPending]:
    """Return lines that wait, oldest first."""
    return list(session.scalars(select(JournalPending).order_by(JournalPending.id).limit(limit)))


def forget_told(session: Session, ids: Collection[int]) -> None:
    """Take away the lines that the folder has.

    By their numbers and not up to one: on PostgreSQL a smaller number may be committed later.
    """
    session.execute(delete(JournalPending).where(JournalPending.id.in_(ids)))


_JOURNALS = {
    Erased: Journal.ERASURES,
    Suppressed: Journal.SUPPRESSIONS,
    Withdrawn: Journal.WITHDRAWALS,
}


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return at


def _ending(text: str) -> ConsentState:
    state = ConsentState(text)
    if state not in ENDS:
        raise ValueError("it ends nothing")
    return state


def _plain(value: object) -> object:
    return instant(value) if isinstance(value, datetime) else value
