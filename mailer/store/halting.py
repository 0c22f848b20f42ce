"""The halt: while it stands nothing is sent, begun or signed, and pages go on serving readers.

It is set where the database turns out to be an old one (`services.consent.witnessing`), and ended
by `mailer db resume` alone.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, literal, select, update
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.store.models import Installation

ADVICE = "`mailer db resume` says what has to be settled, and ends this."


class Halted(Refusal):
    """Nothing may be sent or signed until an operator says so."""


def is_halted() -> ColumnElement[bool]:
    """Condition: the installation is halted. The same for all rows, so that it is asked once."""
    return select(literal(1)).where(Installation.halted.is_not(None)).exists()


def halted_reason(session: Session | Connection) -> str | None:
    """Return in one sentence why nothing is sent; None while all is well."""
    return session.scalar(select(Installation.halted).where(Installation.halted.is_not(None)))


def refuse_while_halted(session: Session) -> None:
    """Raise Halted, with the reason and the way out, while the installation is halted."""
    reason = halted_reason(session)
    if reason is not None:
        raise Halted(f"Nothing is sent or signed now: {reason} {ADVICE}")


def halt(session: Session, reason: str, *, now: datetime) -> bool:
    """Halt the installation; return False where it was halted already, which stays as it was."""
    halted = session.execute(
        update(Installation)
        .where(Installation.halted.is_(None))
        .values(halted=reason, halted_at=now)
        .returning(Installation.id)
    )
    return halted.first() is not None


def end_halt(session: Session) -> None:
    """Let everything go on."""
    session.execute(update(Installation).values(halted=None, halted_at=None))
