"""Withdrawing many readers by an operator's order, a few in a transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from mailer.services.consent.preferences import withdraw
from mailer.store.batches import Batches
from mailer.store.consents import Evidence
from mailer.store.engine import Sessions
from mailer.store.readers import lock_reader


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
    batches: Batches | None = None,
) -> list[tuple[int, int]]:
    """Withdraw readers, in order; return for each from how many subscriptions.

    `pause` is called between batches, `note` for each reader in its transaction. Doing it again
    does what is left, and changes nothing for whom it has been done.
    """
    batches = batches or Batches(4, least=1, most=50)
    done: list[tuple[int, int]] = []
    begin = 0
    while some := reader_ids[begin : begin + batches.size]:
        with batches.transaction(sessions) as session:
            for reader_id in some:
                reader = lock_reader(session, reader_id)
                if reader is None:
                    continue  # forgotten meanwhile
                left = withdraw(
                    session, reader, evidence, newsletter_id=newsletter_id,
                    purpose_ids=purpose_ids, now=now(),
                )  # fmt: skip
                note(session, reader_id, left)
                done.append((reader_id, left))
        begin += len(some)
        advance(begin, len(reader_ids))
        if begin < len(reader_ids):
            pause()
    return done
