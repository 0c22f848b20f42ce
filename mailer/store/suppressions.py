"""The suppression list: addresses that must not be mailed, by their keyed hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.domain.suppression import SCOPE_ALL, SuppressionReason
from mailer.store.journal import Suppressed, tell
from mailer.store.ledger import close_for_address, close_for_addresses
from mailer.store.models import Newsletter, Subscriber, Suppression
from mailer.store.once import insert_into, insert_once
from mailer.store.readers import reader_with_hash

_PAGE = 1_000


def suppress(
    session: Session,
    hashed: str,
    reason: SuppressionReason,
    *,
    now: datetime,
    scope: str = SCOPE_ALL,
    detail: str = "",
) -> bool:
    """Put an address on the list and end its open deliveries; return False if it stood there.

    An erased reader may sign up anew, and nobody else is let off so easily: any other reason takes
    the erasure's place.
    """
    if reason is not SuppressionReason.ERASURE:
        forgive_erasure(session, hashed, scope=scope, now=now)
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
    if added:
        tell(session, Suppressed(now, hashed, scope, reason))
    reader = reader_with_hash(session, hashed)
    newsletter_id = None
    if scope != SCOPE_ALL:
        newsletter_id = session.scalar(select(Newsletter.id).where(Newsletter.slug == scope))
    close_for_address(
        session, hashed, reader, DeliveryState.SUPPRESSED, now=now, newsletter_id=newsletter_id
    )
    return added


class Listing(NamedTuple):
    """One address to be put on the list."""

    hashed: str
    scope: str
    reason: SuppressionReason
    detail: str
    since: datetime


class Added(NamedTuple):
    """What putting many addresses on the list has done."""

    added: int
    readers: list[int]  # of those that were added: who is a reader


def suppress_all(session: Session, listings: Sequence[Listing], *, now: datetime) -> Added:
    """Put many addresses on the list, and end the open deliveries to all of them."""
    hashes = {each.hashed for each in listings}
    wanted = {(each.hashed, each.scope): each for each in reversed(listings)}
    stands = select(Suppression.address_hash, Suppression.scope, Suppression.reason).where(
        Suppression.address_hash.in_(hashes)
    )
    for hashed, scope, reason in session.execute(stands).all():
        listing = wanted.get((hashed, scope))
        if listing and reason == SuppressionReason.ERASURE and listing.reason != reason:
            forgive_erasure(session, hashed, scope=scope, now=now)
        else:
            wanted.pop((hashed, scope), None)
    fresh = dict(sorted(wanted.items()))
    if fresh:
        session.connection().execute(
            insert_into(session, Suppression).on_conflict_do_nothing(),
            [
                {
                    "address_hash": each.hashed,
                    "scope": each.scope,
                    "reason": each.reason.value,
                    "detail": each.detail[:500],
                    "created_at": each.since,
                }
                for each in fresh.values()
            ],
        )
    for each in fresh.values():
        tell(session, Suppressed(now, each.hashed, each.scope, each.reason))
    found = select(Subscriber.address_hash, Subscriber.id)
    readers = dict(session.execute(found.where(Subscriber.address_hash.in_(hashes))).all())
    for scope in {each.scope for each in listings}:
        _end_deliveries(session, scope, listings, readers, now)
    added_hashes = {hashed for hashed, _ in fresh}
    added_readers = [number for hashed, number in readers.items() if hashed in added_hashes]
    return Added(len(fresh), sorted(added_readers))


def _end_deliveries(
    session: Session,
    scope: str,
    listings: Sequence[Listing],
    readers: Mapping[str, int],
    now: datetime,
) -> None:
    hashes = {each.hashed for each in listings if each.scope == scope}
    newsletter_id = None
    if scope != SCOPE_ALL:
        newsletter_id = session.scalar(select(Newsletter.id).where(Newsletter.slug == scope))
    close_for_addresses(
        session,
        hashes,
        {readers[hashed] for hashed in hashes if hashed in readers},
        DeliveryState.SUPPRESSED,
        now=now,
        newsletter_id=newsletter_id,
    )


def lift(session: Session, hashed: str, *, scope: str = SCOPE_ALL, now: datetime) -> bool:
    """Take an address off the list; return False if it did not stand there."""
    result = session.connection().execute(
        delete(Suppression).where(Suppression.address_hash == hashed, Suppression.scope == scope)
    )
    if not result.rowcount:
        return False
    tell(session, Suppressed(now, hashed, scope, reason=None))
    return True


def forgive_erasure(
    session: Session, hashed: str, *, scope: str = SCOPE_ALL, now: datetime
) -> None:
    """Take an address off the list that stands there only because its reader was erased."""
    result = session.connection().execute(
        delete(Suppression).where(
            Suppression.address_hash == hashed,
            Suppression.scope == scope,
            Suppression.reason == SuppressionReason.ERASURE.value,
        )
    )
    if result.rowcount:
        tell(session, Suppressed(now, hashed, scope, reason=None))


def may_be_asked(session: Session, hashed: str, newsletter: str) -> bool:
    """Say whether a reader who fills in the form may be asked to confirm.

    Who was erased may: what they ask for now is a new beginning, and only their own press of the
    button takes them off the list.
    """
    return all(
        each.reason == SuppressionReason.ERASURE for each in standing(session, hashed, newsletter)
    )


def standing(session: Session, hashed: str, newsletter: str | None = None) -> list[Suppression]:
    """Return what keeps this address from being mailed (by this newsletter)."""
    statement = select(Suppression).where(Suppression.address_hash == hashed)
    if newsletter is not None:
        statement = statement.where(
            or_(Suppression.scope == SCOPE_ALL, Suppression.scope == newsletter)
        )
    return list(session.scalars(statement))


def list_suppressions(session: Session) -> Iterator[tuple[Suppression, str | None]]:
    """Yield all that stands on the list, oldest first, with the address where a reader has it."""
    after = 0
    listed = (
        select(Suppression, Subscriber.email)
        .outerjoin(Subscriber, Subscriber.address_hash == Suppression.address_hash)
        .order_by(Suppression.id)
        .limit(_PAGE)
    )
    while page := session.execute(listed.where(Suppression.id > after)).all():
        yield from page
        after = page[-1][0].id
        session.expunge_all()


def count_suppressions(session: Session) -> int:
    """Return how many `list_suppressions` yields."""
    return session.scalar(select(func.count()).select_from(Suppression)) or 0
