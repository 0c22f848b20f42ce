"""The checkpoints that were signed: one for every length that the log had at such a time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.store.models import LogCheckpoint
from mailer.store.once import insert_once


def newest_checkpoint(session: Session) -> LogCheckpoint | None:
    """Return the checkpoint that covers most of the log."""
    return session.scalar(select(LogCheckpoint).order_by(LogCheckpoint.size.desc()).limit(1))


def keep_checkpoint(session: Session, size: int, note: str, *, now: datetime) -> None:
    """Add a checkpoint, unless one of this size stands already."""
    insert_once(session, LogCheckpoint, {"size": size, "note": note, "at": now})
