"""The suppression list: addresses that must not be mailed, by their keyed hash."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.domain.suppression import SCOPE_ALL, SuppressionReason
from mailer.store.ledger import close_for_address
from mailer.store.models import Newsletter, Subscriber, Suppression
from mailer.store.once import insert_once
from mailer.store.readers import reader_with_hash


def suppress(
    session: Session,
    hashed: str,
    reason: SuppressionReason,
    *,
    now: datetime,
    scope: str = SCOPE_ALL,
    detail: str = "",
) -> bool:
    """Put an address on the list and end its open deliveries; return False if it stood there."""
    added = insert_once(
        session,
        Suppression,
        {
            "address_hash": hashed,
            "scope": scope,
            "reason": reason.value,
            "detail": detail[:500],
            "created_at": now,
        },
    )
    reader = reader_with_hash(session, hashed)
    newsletter_id = None
    if scope != SCOPE_ALL:
        newsletter_id = session.scalar(select(Newsletter.id).where(Newsletter.slug == scope))
    close_for_address(
        session, hashed, reader, DeliveryState.SUPPRESSED, now=now, newsletter_id=newsletter_id
    )
    return added


def lift(session: Session, hashed: str, *, scope: str = SCOPE_ALL) -> bool:
    """Take an address off the list; return False if it did not stand there."""
    result = session.connection().execute(
        delete(Suppression).where(Suppression.address_hash == hashed, Suppression.scope == scope)
    )
    return result.rowcount > 0


def standing(session: Session, hashed: str, newsletter: str | None = None) -> list[Suppression]:
    """Return what keeps this address from being mailed (by this newsletter)."""
    statement = select(Suppression).where(Suppression.address_hash == hashed)
    if newsletter is not None:
        statement = statement.where(
            or_(Suppression.scope == SCOPE_ALL, Suppression.scope == newsletter)
        )
    return list(session.scalars(statement))


def list_suppressions(session: Session) -> list[tuple[Suppression, str | None]]:
    """Return all that stands on the list, oldest first, with the address where a reader has it."""
    rows = session.execute(
        select(Suppression, Subscriber.email)
        .outerjoin(Subscriber, Subscriber.address_hash == Suppression.address_hash)
        .order_by(Suppression.id)
    )
    return [(suppression, email) for suppression, email in rows]
