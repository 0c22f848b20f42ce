"""Withdrawing many readers by an operator's order, a few in a transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from mailer.services.preferences import withdraw
from mailer.store.consents import Evidence
from mailer.store.engine import Sessions
from mailer.store.readers import lock_reader

BATCH = 10
"""Readers per transaction: well under 50 ms on SQLite, so that others get their turn."""


def withdraw_all(
    sessions: Sessions,
    reader_ids: Sequence[int],
    evidence: Evidence,
    *,
    newsletter_id: int | None,
    purpose_ids: Collection[int] | None,
    now: Callable[[], datetime],
    pause: Callable[[], None],
    note: Callable[[Session, int, int], None] = lambda *_: None,
    advance: Callable[[int, int], None] = lambda *_: None,
) -> list[tuple[int, int]]:
    """Withdraw readers, in order; return for each from how many subscriptions.

    `pause` is called between batches, `note` for each reader in its transaction. Doing it again
    does what is left, and changes nothing for whom it has been done.
    """
    done: list[tuple[int, int]] = []
    for begin in range(0, len(reader_ids), BATCH):
        if begin:
            pause()
        with sessions.begin() as session:
            for reader_id in reader_ids[begin : begin + BATCH]:
                reader = lock_reader(session, reader_id)
                if reader is None:
                    continue  # forgotten meanwhile
                left = withdraw(
                    session, reader, evidence, newsletter_id=newsletter_id,
                    purpose_ids=purpose_ids, now=now(),
                )  # fmt: skip
                note(session, reader_id, left)
                done.append((reader_id, left))
        advance(len(done), len(reader_ids))
    return done
