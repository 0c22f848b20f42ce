"""The checkpoints that were signed, in the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.domain.checkpoints import Checkpoint
from mailer.store.models import LogCheckpoint
from mailer.store.once import insert_once


def newest_checkpoint(session: Session) -> LogCheckpoint | None:
    """Return the checkpoint that was signed last."""
    return session.scalar(select(LogCheckpoint).order_by(LogCheckpoint.id.desc()).limit(1))


def signed_names(session: Session) -> list[str]:
    """Return the names under which the log was ever signed, the newest first."""
    last = func.max(LogCheckpoint.id).desc()
    return list(
        session.scalars(select(LogCheckpoint.origin).group_by(LogCheckpoint.origin).order_by(last))
    )


def keep_checkpoint(session: Session, checkpoint: Checkpoint, note: str, *, now: datetime) -> None:
    """Add a checkpoint, unless it stands there already."""
    values = {"origin": checkpoint.origin, "size": checkpoint.size, "note": note, "at": now}
    insert_once(session, LogCheckpoint, values)
