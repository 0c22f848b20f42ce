"""Forgetting a reader."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mailer.domain.consent import Method
from mailer.domain.suppression import SuppressionReason
from mailer.services.preferences import withdraw
from mailer.store.consents import Evidence
from mailer.store.journal import Erased, tell
from mailer.store.models import ConsentEvent, ConsentEvidence, Erasure, Subscriber, Subscription
from mailer.store.once import insert_once
from mailer.store.readers import lock_reader_of
from mailer.store.suppressions import suppress


def erase_again(
    session: Session,
    hashed: str,
    subscriber_id: int,
    *,
    method: str,
    at: datetime,
    now: datetime,
) -> bool:
    """Forget a reader of whom the keyed hash and the number are known, as a journal tells them.

    Return False where there was nobody to forget; doing it again changes nothing. Whoever signed
    up later under the same address has a higher number and is left alone.
    """
    row = {"subscriber_id": subscriber_id, "address_hash": hashed, "method": method, "at": at}
    if not insert_once(session, Erasure, row):
        return False
    tell(session, Erased(at, hashed, subscriber_id, method))
    reader = lock_reader_of(session, hashed)
    if reader is None or reader.id > subscriber_id:
        return False
    withdraw(session, reader, Evidence(Method.ERASURE), now=now)
    suppress(session, hashed, SuppressionReason.ERASURE, now=now)
    session.flush()
    events = select(ConsentEvent.id).where(ConsentEvent.subscriber_id == reader.id)
    session.execute(delete(ConsentEvidence).where(ConsentEvidence.event.in_(events)))
    session.execute(delete(Subscription).where(Subscription.subscriber_id == reader.id))
    session.execute(delete(Subscriber).where(Subscriber.id == reader.id))
    return True
