"""All readers, one after the other: for lists and exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import distinct, func, select
from sqlalchemy.orm import Session

from mailer.services.readers.readers import overall
from mailer.store.models import Newsletter, Purpose, Subscriber, Subscription

_PAGE = 1_000
_LISTED = (
    Subscriber.id, Subscriber.email, Subscriber.name, Subscriber.locale, Subscriber.timezone,
    Subscriber.created_at,
)  # fmt: skip


def list_readers(session: Session, newsletter: Newsletter | None) -> Iterator[dict[str, Any]]:
    """Yield all readers (of one newsletter) by id, a page at a time, so that a million fit."""
    newsletter_id = newsletter.id if newsletter else None
    after = 0
    while ids := _page_of(session, newsletter_id, after):
        rows = session.execute(select(*_LISTED).where(Subscriber.id.in_(ids)).order_by("id"))
        yield from _with_subscriptions(session, rows.all(), newsletter_id)
        after = ids[-1]


def count_readers(session: Session, newsletter: Newsletter) -> int:
    """Return how many readers `list_readers` yields."""
    number = func.count(distinct(Subscription.subscriber_id))
    of_newsletter = Subscription.newsletter_id == newsletter.id
    return session.scalar(select(number).where(of_newsletter)) or 0


def _page_of(session: Session, newsletter_id: int | None, after: int) -> Sequence[int]:
    statement = select(Subscriber.id.label("id"))
    if newsletter_id is not None:
        statement = select(Subscription.subscriber_id.label("id")).distinct()
        statement = statement.where(Subscription.newsletter_id == newsletter_id)
    column = statement.selected_columns.id
    return session.scalars(statement.where(column > after).order_by(column).limit(_PAGE)).all()


def _with_subscriptions(
    session: Session, readers: Sequence[Any], newsletter_id: int | None
) -> Iterator[dict[str, Any]]:
    statement = (
        select(Subscription.subscriber_id, Newsletter.slug, Purpose.slug, Subscription.state)
        .join(Purpose, Purpose.id == Subscription.purpose_id)
        .join(Newsletter, Newsletter.id == Purpose.newsletter_id)
        .where(Subscription.subscriber_id.in_([reader.id for reader in readers]))
        .order_by(Newsletter.slug, Purpose.position)
    )
    if newsletter_id is not None:
        statement = statement.where(Subscription.newsletter_id == newsletter_id)
    standings: dict[int, list[tuple[str, str, str]]] = {}
    for reader_id, *where in session.execute(statement):
        standings.setdefault(reader_id, []).append((where[0], where[1], where[2]))
    for reader in readers:
        mine = standings.get(reader.id, [])
        yield {
            "subscriber_id": reader.id,
            "email": reader.email,
            "name": reader.name,
            "locale": reader.locale,
            "timezone": reader.timezone,
            "state": overall({state for _, _, state in mine}),
            "subscriptions": {f"{slug}/{purpose}": state for slug, purpose, state in mine},
            "since": reader.created_at,
        }
