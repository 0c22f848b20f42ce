"""What verbs leave in the audit trail; `domain/acts.py` says which of them do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from mailer.cli.console import say
from mailer.services.installation.trail import note_look
from mailer.store.actions import note_action

if TYPE_CHECKING:
    from mailer.wiring import Parts


def note(
    parts: Parts, session: Session, action: str, *, reader: int | None = None, **details: Any
) -> None:
    """Write the act down in the transaction that does it."""
    note_action(
        session,
        parts.operator,
        action,
        now=parts.now(),
        subscriber_id=reader,
        details=_given(details),
    )


def note_taking_out(parts: Parts, action: str, **details: Any) -> None:
    """Write down that data is taken out, before the first row leaves: without a line, nothing does.

    In a transaction of its own, for SQLite's writers cannot wait until a million rows are written.
    """
    with parts.sessions.begin() as session:
        note(parts, session, action, **details)


def looked(parts: Parts, action: str, *, reader: int | None = None, **details: Any) -> None:
    """Write down that an operator has looked; say so where that cannot be done."""
    reason = note_look(
        parts.sessions,
        parts.operator,
        action,
        now=parts.now(),
        subscriber_id=reader,
        details=_given(details),
    )
    if reason is not None:
        say(f"This look is not in the audit trail: {reason}.")


def _given(details: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if value not in (None, "", False, [])}
