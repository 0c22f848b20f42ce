"""Forgetting one reader, table by table.

What stays says nothing of a person: numbers, states, times, codes, and the keyed hash of the
address. Every table that may hold more stands in docs/how-to/erase.md with what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from mailer.domain.addresses import is_shared
from mailer.domain.deliveries import DeliveryState
from mailer.domain.persons import Person
from mailer.domain.replies import numbers_of
from mailer.store.journal import Erased, tell
from mailer.store.models import (
    Approval,
    Campaign,
    ConsentEvent,
    ConsentEvidence,
    Digest,
    Erasure,
    Feedback,
    ImportRun,
    RelayState,
    Seed,
    Subscriber,
    Subscription,
    Suppression,
    attempt,
    delivery,
)
from mailer.store.once import insert_once
from mailer.store.relays import ITSELF

_NOBODY = ""
"""A delivery's receiving provider when the domain alone would tell who it was for."""


def person_of(session: Session, reader: Subscriber, spelled: str = "") -> Person:
    """Return who the reader is, by what they and whoever signed them up have written."""
    details = session.scalars(
        select(Subscription.details).where(Subscription.subscriber_id == reader.id)
    )
    names = {reader.name, *(str(said.get("name", "")) for said in details)}
    addresses = {reader.email, spelled} - {""}
    return Person(tuple(sorted(addresses)), tuple(sorted(names - {""})))


def delete_reader(session: Session, reader: Subscriber) -> int:
    """Delete evidence, subscriptions, row and key; return how many events lost their evidence."""
    session.flush()
    connection = session.connection()
    events = select(ConsentEvent.id).where(ConsentEvent.subscriber_id == reader.id)
    evidence = connection.execute(delete(ConsentEvidence).where(ConsentEvidence.event.in_(events)))
    connection.execute(delete(Subscription).where(Subscription.subscriber_id == reader.id))
    connection.execute(delete(Subscriber).where(Subscriber.id == reader.id))
    session.expunge(reader)
    return evidence.rowcount


def strip_deliveries_of(session: Session, subscriber_id: int) -> int:
    """Leave numbers alone of what the reader was sent and of what came back; return how many."""
    return _strip(session, delivery.c.subscriber_id == subscriber_id, subscriber_id)


def strip_tests_to(session: Session, address_hash: str) -> int:
    """Leave numbers alone of test mails to the address; return how many there were.

    Nor is it of use for anything else in the house from then on.
    """
    _forget_role(session, address_hash)
    to_no_reader = delivery.c.subscriber_id.is_(None)  # or every delivery would be looked at
    return _strip(session, and_(to_no_reader, delivery.c.recipient_hash == address_hash))


def _forget_role(session: Session, address_hash: str) -> None:
    """Take the address out of what it does for the house: a seed, or who approves a digest.

    A digest that waits for somebody's word waits still: nothing goes unseen because somebody is
    forgotten.
    """
    connection = session.connection()
    connection.execute(delete(Seed).where(Seed.address_hash == address_hash))
    connection.execute(
        update(Digest).where(Digest.approve_hash == address_hash).values(approve_by="")
    )
    connection.execute(
        update(Approval).where(Approval.recipient_hash == address_hash).values(recipient="")
    )


def strip_mentions(session: Session, address_hash: str, person: Person) -> int:
    """Take the person out of words about others or about nobody; return how many bounces those
    were that nobody could match.
    """
    session.connection().execute(
        update(Suppression).where(Suppression.address_hash == address_hash).values(detail="")
    )
    unmatched = Feedback.subscriber_id.is_(None)
    bounces = _reword(session, Feedback.id, Feedback.detail, person, numbers_of, unmatched)
    _reword(session, Campaign.id, Campaign.paused_reason, person, _why_paused)
    _reword(session, ImportRun.id, ImportRun.source, person, lambda _: "")
    for reason in session.scalars(select(RelayState.reason).distinct()).all():
        if person.is_named_in(reason):
            said = update(RelayState).where(RelayState.reason == reason)
            session.connection().execute(said.values(reason=numbers_of(reason)))
    return bounces


def lonely_providers(session: Session) -> set[str]:
    """Return the providers that we learned of and no reader has: a domain may be a name."""
    known = set(session.scalars(select(RelayState.provider).distinct()))
    lonely = {each for each in known if each != ITSELF and not is_shared(each)}
    return (
        lonely - set(session.scalars(select(Subscriber.provider).distinct())) if lonely else set()
    )


def forget_providers(session: Session, names: Collection[str]) -> None:
    """Forget what was learned of these receiving providers."""
    session.connection().execute(delete(RelayState).where(RelayState.provider.in_(names)))


def is_erased(session: Session, subscriber_id: int) -> bool:
    """Say whether the reader with this number was erased."""
    found = select(Erasure.id).where(Erasure.subscriber_id == subscriber_id)
    return session.scalar(found) is not None


def note_erasure(
    session: Session, subscriber_id: int, address_hash: str, method: str, *, at: datetime
) -> bool:
    """Write down, and tell the journal, that the reader was erased; False if it stood there."""
    row = {"subscriber_id": subscriber_id, "address_hash": address_hash, "method": method, "at": at}
    noted = insert_once(session, Erasure, row)
    if noted:
        tell(session, Erased(at, address_hash, subscriber_id, method))
    return noted


def last_erasure(session: Session, address_hash: str) -> Erasure | None:
    """Return the latest erasure of whoever had the address with this keyed hash."""
    return session.scalar(
        select(Erasure)
        .where(Erasure.address_hash == address_hash)
        .order_by(Erasure.id.desc())
        .limit(1)
    )


def unfinished(session: Session, *, before: datetime) -> list[Erasure]:
    """Return the erasures that still have something to clean outside of the rows, oldest first."""
    return list(
        session.scalars(
            select(Erasure)
            .where(Erasure.cleaned_at.is_(None), Erasure.at <= before)
            .order_by(Erasure.id)
        )
    )


def on_their_way(session: Session, subscriber_id: int) -> int:
    """Return how many mails to the erased reader were past the gate and are not settled yet."""
    rows = select(delivery.c.id).where(
        delivery.c.subscriber_id == subscriber_id,
        delivery.c.settled_at.is_(None),
        delivery.c.state == DeliveryState.SENDING.value,
    )
    return len(session.execute(rows).all())


def _strip(session: Session, mails: ColumnElement[bool], subscriber_id: int | None = None) -> int:
    """Take words, addresses and lonely domains out of these deliveries and what refers to them."""
    connection = session.connection()
    key = (delivery.c.period, delivery.c.id)
    rows = connection.execute(
        select(*key, delivery.c.last_reply, delivery.c.provider).where(mails).with_for_update()
    ).all()
    without = [
        {
            "in_period": row.period,
            "with_id": row.id,
            "numbers": row.last_reply and numbers_of(row.last_reply),
            "shared": row.provider if is_shared(row.provider) else _NOBODY,
        }
        for row in rows
    ]
    if without:
        connection.execute(_WITHOUT_WORDS, without)
    _strip_attempts(session, select(*key).where(mails))
    came_back = Feedback.delivery_id.in_(select(delivery.c.id).where(mails))
    connection.execute(update(Feedback).where(came_back).values(detail=""))
    if subscriber_id is not None:
        theirs = Feedback.subscriber_id == subscriber_id
        connection.execute(update(Feedback).where(theirs).values(detail=""))
    return len(rows)


_WITHOUT_WORDS = (
    update(delivery)
    .where(delivery.c.period == bindparam("in_period"), delivery.c.id == bindparam("with_id"))
    .values(last_reply=bindparam("numbers"), provider=bindparam("shared"), recipient=None)
)
_SAID_IN_NUMBERS = (
    update(attempt)
    .where(
        attempt.c.period == bindparam("in_period"),
        attempt.c.delivery_id == bindparam("of_delivery"),
        attempt.c.fence == bindparam("under_fence"),
    )
    .values(reply=bindparam("numbers"))
)


def _strip_attempts(session: Session, mails: Select[Any]) -> None:
    connection = session.connection()
    key = (attempt.c.period, attempt.c.delivery_id, attempt.c.fence)
    of_mails = tuple_(*key[:2]).in_(mails)
    without = [
        {
            "in_period": row.period,
            "of_delivery": row.delivery_id,
            "under_fence": row.fence,
            "numbers": numbers_of(row.reply),
        }
        for row in connection.execute(select(*key, attempt.c.reply).where(of_mails))
    ]
    if without:
        connection.execute(_SAID_IN_NUMBERS, without)


def _reword(
    session: Session,
    key: InstrumentedAttribute[int],
    words: InstrumentedAttribute[str],
    person: Person,
    instead: Callable[[str], str],
    *where: ColumnElement[bool],
) -> int:
    """Put other words where the person may be meant; return in how many rows."""
    found: Iterable[Any] = session.execute(select(key, words).where(words != "", *where))
    meant = [(row[0], instead(row[1])) for row in found if person.is_named_in(row[1])]
    for row_id, text in meant:
        session.connection().execute(update(key.class_).where(key == row_id).values({words: text}))
    return len(meant)


def _why_paused(reason: str) -> str:
    """Return why a campaign is paused without the relay's own words."""
    ours, _, theirs = reason.partition(": ")
    return f"{ours}: {numbers_of(theirs)}".rstrip(": ")
