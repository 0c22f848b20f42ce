"""How far an import has come: it goes on with the first reader that was not committed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.store.models import ImportRun
from mailer.store.once import insert_once


class ImportClash(Refusal):
    """Another process is importing the same file."""


def find_run(session: Session, fingerprint: str) -> ImportRun | None:
    """Return the import of the same file on the same terms, finished or not."""
    return session.scalar(select(ImportRun).where(ImportRun.fingerprint == fingerprint))


def begin_run(
    session: Session,
    newsletter_id: int,
    fingerprint: str,
    source: str,
    counts: Mapping[str, int],
    *,
    now: datetime,
) -> ImportRun:
    """Note that an import begins; raises ImportClash where it has begun elsewhere just now."""
    added = insert_once(
        session,
        ImportRun,
        {
            "newsletter_id": newsletter_id,
            "fingerprint": fingerprint,
            "source": source,
            "started_at": now,
            "rows_done": 0,
            "counts": dict(counts),
        },
    )
    run = find_run(session, fingerprint)
    if run is None or not added:
        raise _clash()
    return run


def advance(
    session: Session, run_id: int, *, done: int, now_done: int, counts: Mapping[str, int]
) -> None:
    """Move from `done` rows to `now_done`, in the transaction that writes them.

    Raises ImportClash where somebody else has moved it.
    """
    moved = session.connection().execute(
        update(ImportRun)
        .where(ImportRun.id == run_id, ImportRun.rows_done == done)
        .values(rows_done=now_done, counts=dict(counts))
    )
    if moved.rowcount != 1:
        raise _clash()


def finish_run(session: Session, run_id: int, *, done: int, now: datetime) -> None:
    """Note that every row is in; raises ImportClash where somebody else has done so."""
    moved = session.connection().execute(
        update(ImportRun)
        .where(ImportRun.id == run_id, ImportRun.rows_done == done, ImportRun.finished_at.is_(None))
        .values(finished_at=now)
    )
    if moved.rowcount != 1:
        raise _clash()


def _clash() -> ImportClash:
    return ImportClash(
        "Another process is importing the same file on the same terms right now: let it come to "
        "its end."
    )
