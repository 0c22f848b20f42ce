"""Reading everything that consent rests on: page by page, each as it stood at one moment.

Nothing here waits for a writer or makes one wait, and no page is larger than what it is asked for,
so that a million readers need no more memory than a thousand. What stands in a row is taken as it
is: in a damaged one it may be anything.

Moments are texts as `mailer.domain.leaves.instant` writes them, which compare like the moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    Row,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryKind
from mailer.store.engine import Sessions
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    Erasure,
    LogEntry,
    PendingLeaf,
    Subscriber,
    Subscription,
    Suppression,
    attempt,
    delivery,
)


@contextmanager
def snapshot(sessions: Sessions) -> Iterator[Session]:
    """Open a session that sees one moment, holds up nobody, and can read damaged text."""
    with sessions() as session:
        options: dict[str, Any] = {"read_only": True}
        if session.get_bind().dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            session.connection(execution_options=options)
            yield session
            return
        driver: Any = session.connection(execution_options=options).connection.driver_connection
        driver.text_factory = _as_it_stands
        try:
            yield session
        finally:
            driver.text_factory = str


def all_rows(session: Session, statement: Executable) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the rows of a statement; of a connection, which makes no objects of them."""
    return session.connection().execute(statement).all()


def _as_it_stands(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


class EventRow(NamedTuple):
    """A consent event with its place and its evidence; the first twelve make its leaf."""

    event_id: str
    at: str
    newsletter_id: int
    purpose_id: int
    subscriber_id: int
    state: str
    method: str
    basis: str
    notice_id: int | None
    commitment: bytes
    stated_at: str | None
    valid_until: str | None
    notice_assumed: int
    leaf_hash: bytes
    id: int
    leaf_index: int | None
    pending: int | None
    sealed: bytes | None


class SubscriptionRow(NamedTuple):
    """Where a reader is said to stand with a purpose."""

    subscriber_id: int
    purpose_id: int
    newsletter_id: int
    state: str
    since: str
    valid_until: str | None


class DeliveryRow(NamedTuple):
    """A mail to a reader; `settled_at` is None while it is open."""

    id: int
    period: int
    campaign_id: int | None
    subscriber_id: int
    newsletter_id: int
    kind: str
    state: str
    fence: int
    created_at: str
    settled_at: str | None
    lease_until: str | None


class AttemptRow(NamedTuple):
    """One try of a delivery."""

    delivery_id: int
    at: str
    outcome: str
    stage: str


class SuppressionRow(NamedTuple):
    """Since when a reader's address must not be mailed."""

    subscriber_id: int
    scope: str
    reason: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Page:
    """All there is of the readers from one number to another, in their order."""

    last: int | None
    """The last reader's number; None: nobody comes after this page."""
    events: Sequence[EventRow]
    keys: dict[int, bytes]  # of the readers who have a row
    erased: frozenset[int]
    subscriptions: Sequence[SubscriptionRow]
    deliveries: Sequence[DeliveryRow]
    suppressions: Sequence[SuppressionRow]


def read_page(session: Session, after: int, rows: int) -> Page:
    """Return the readers after this number with everything of theirs: about so many rows each."""
    last = _last_of_page(session, after, rows)

    def mine(column: Any) -> list[ColumnElement[bool]]:
        return [column > after] if last is None else [column > after, column <= last]

    moment = moment_of(session)
    events = all_rows(session, _events(session).where(*mine(ConsentEvent.subscriber_id)))
    subscriptions = all_rows(
        session,
        select(
            Subscription.subscriber_id, Subscription.purpose_id, Subscription.newsletter_id,
            Subscription.state, moment(Subscription.since), moment(Subscription.valid_until),
        )
        .where(*mine(Subscription.subscriber_id))
        .order_by(Subscription.subscriber_id, Subscription.purpose_id)
    )  # fmt: skip
    keys = all_rows(
        session, select(Subscriber.id, Subscriber.sealed_key).where(*mine(Subscriber.id))
    )
    erased = all_rows(session, select(Erasure.subscriber_id).where(*mine(Erasure.subscriber_id)))
    columns = delivery.c
    deliveries = all_rows(
        session,
        select(
            columns.id, columns.period, columns.campaign_id, columns.subscriber_id,
            columns.newsletter_id, columns.kind, columns.state, columns.fence,
            moment(columns.created_at), moment(columns.settled_at), moment(columns.lease_until),
        )
        .where(*mine(columns.subscriber_id), columns.kind.in_(_GATED))
        .order_by(columns.subscriber_id, columns.id)
    )  # fmt: skip
    suppressions = all_rows(
        session,
        select(Subscriber.id, Suppression.scope, Suppression.reason, moment(Suppression.created_at))
        .join(Suppression, Suppression.address_hash == Subscriber.address_hash)
        .where(*mine(Subscriber.id)),
    )
    return Page(
        last,
        [EventRow._make(row) for row in events],
        {row[0]: row[1] for row in keys},
        frozenset(row[0] for row in erased),
        [SubscriptionRow._make(row) for row in subscriptions],
        [DeliveryRow._make(row) for row in deliveries],
        [SuppressionRow._make(row) for row in suppressions],
    )


_GATED = (DeliveryKind.CAMPAIGN.value, DeliveryKind.CONFIRMATION.value)


def attempts_of(session: Session, deliveries: Sequence[DeliveryRow]) -> dict[int, list[AttemptRow]]:
    """Return the tries of these deliveries, oldest first, by the delivery's id."""
    found: dict[int, list[AttemptRow]] = {}
    for begin in range(0, len(deliveries), _AT_ONCE):
        keys = [(row.period, row.id) for row in deliveries[begin : begin + _AT_ONCE]]
        rows = all_rows(
            session,
            select(
                attempt.c.delivery_id, moment_of(session)(attempt.c.at),
                attempt.c.outcome, attempt.c.stage,
            )
            .where(tuple_(attempt.c.period, attempt.c.delivery_id).in_(keys))
            .order_by(attempt.c.fence)
        )  # fmt: skip
        for row in rows:
            found.setdefault(row[0], []).append(AttemptRow._make(row))
    return found


_AT_ONCE = 500


def _last_of_page(session: Session, after: int, rows: int) -> int | None:
    """Return the reader up to whom no table has many more than so many rows."""
    found = [
        session.scalar(
            select(column).where(column > after).order_by(column).offset(rows - 1).limit(1)
        )
        for column in (
            ConsentEvent.subscriber_id,
            Subscription.subscriber_id,
            delivery.c.subscriber_id,
        )
    ]
    return min((each for each in found if each is not None), default=None)


def _events(session: Session) -> Select[*tuple[Any, ...]]:
    moment = moment_of(session)
    event = ConsentEvent
    return (
        select(
            event.event_id, moment(event.at), event.newsletter_id, event.purpose_id,
            event.subscriber_id, event.state, event.method, event.basis, event.notice_id,
            event.commitment, moment(event.stated_at), moment(event.valid_until),
            _as_number(session, event.notice_assumed), event.leaf_hash, event.id,
            LogEntry.leaf_index, PendingLeaf.event, ConsentEvidence.sealed,
        )
        .outerjoin(LogEntry, LogEntry.event == event.id)
        .outerjoin(PendingLeaf, PendingLeaf.event == event.id)
        .outerjoin(ConsentEvidence, ConsentEvidence.event == event.id)
        .order_by(event.subscriber_id, event.id)
    )  # fmt: skip


def moment_of(session: Session) -> Callable[[Any], ColumnElement[str]]:
    """Return what makes a text of a column that holds a moment, in the one spelling of leaves."""
    return _sqlite_moment if session.get_bind().dialect.name == "sqlite" else _moment


def _sqlite_moment(column: Any) -> ColumnElement[str]:
    """SQLite holds a text: anything but a moment stays what it is, and is none."""
    held = type_coerce(column, Text)
    written = func.substr(held, 1, 10) + literal("T") + func.substr(held, 12) + literal("Z")
    return case((func.substr(held, 11, 1) == " ", written), else_=held)


def _moment(column: Any) -> ColumnElement[str]:
    return func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"', type_=Text)


def _as_number(session: Session, column: Any) -> ColumnElement[int]:
    """Return a column of true and false as it is held, which SQLite does as any number."""
    if session.get_bind().dialect.name == "sqlite":
        return type_coerce(column, Integer)
    return cast(column, Integer)
