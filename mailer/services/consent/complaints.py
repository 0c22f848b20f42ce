"""Complaints: a reader who calls our mail spam, whoever passes it on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from mailer.domain.suppression import SuppressionReason
from mailer.services.consent.preferences import withdraw
from mailer.store.consents import Evidence
from mailer.store.models import Subscriber
from mailer.store.suppressions import suppress


def record_complaint(
    session: Session, reader: Subscriber, evidence: Evidence, *, now: datetime
) -> int:
    """Withdraw the reader (locked by the caller) from everything and suppress the address.

    A mail program's button says no more than "spam", so it is taken for all newsletters. Return
    how many subscriptions ended; a second complaint changes nothing.
    """
    left = withdraw(session, reader, evidence, now=now)
    suppress(session, reader.address_hash, SuppressionReason.COMPLAINT, now=now)
    return left
