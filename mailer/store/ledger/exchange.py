"""The exchange: settle what is known and gate what waits, for many deliveries at once.

On PostgreSQL it is one statement, and so one round trip and one commit; SQLite, which knows no
UPDATE inside of another statement, runs the same three parts one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    ColumnElement,
    Connection,
    Float,
    FromClause,
    Integer,
    Text,
    Update,
    and_,
    bindparam,
    case,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.store.audience import has_consent, has_request, is_suppressed
from mailer.store.clock import DatabaseTime
from mailer.store.halting import is_halted
from mailer.store.hot import run
from mailer.store.models import Campaign, attempt, delivery
from mailer.store.once import Insert, insert_for
from mailer.store.rowset import Rowset

_S = DeliveryState


class GateRequest(NamedTuple):
    """May the content of this delivery be handed over now?

    `version` is that of the campaign's content that the mail was made from.
    """

    id: int
    period: int
    fence: int
    version: int = 1


class Gated(StrEnum):
    """The gate's answer. Anything but OPEN means: hang up, not a byte of content."""

    OPEN = "open"
    CLOSED = "closed"  # consent, suppression, the campaign's state or a correction forbid it
    LEASE_LOST = "lease lost"  # another worker has it, or it has been ended


class Settlement(NamedTuple):
    """What became of one handed-over or refused delivery: it goes to `state`.

    `retry_in` says in how many seconds a delivery that goes back to the queue is due again.
    `counts` is 0 where only the relay had trouble, and no attempt is charged to the reader.
    """

    id: int
    period: int
    fence: int
    state: DeliveryState
    relay: str
    stage: str
    reply: str
    retry_in: float = 0.0
    relay_queue_id: str | None = None
    counts: int = 1


# What a settlement finds the row in. `uncertain` is there because evidence may come late: a worker
# that was frozen over its lease still knows what the relay told it.
_SETTLES_FROM: dict[DeliveryState, tuple[DeliveryState, ...]] = {
    _S.SENT: (_S.SENDING, _S.UNCERTAIN),
    _S.UNCERTAIN: (_S.SENDING,),
    _S.FAILED: (_S.LEASED, _S.SENDING),
    _S.QUEUED: (_S.LEASED, _S.SENDING),
}

_TOLD = Rowset(
    "told",
    {
        "id": BigInteger(),
        "period": Integer(),
        "fence": Integer(),
        "state": Text(),
        "relay": Text(),
        "stage": Text(),
        "reply": Text(),
        "retry_in": Float(),
        "relay_queue_id": Text(),
        "counts": Integer(),
    },
)
_ASKED = Rowset(
    "asked", {"id": BigInteger(), "period": Integer(), "fence": Integer(), "version": Integer()}
)
_SETTLED, _OPENED = 0, 1


def exchange(
    connection: Connection,
    settlements: Sequence[Settlement],
    requests: Sequence[GateRequest],
    *,
    lease: timedelta,
) -> tuple[list[bool], dict[int, Gated]]:
    """Settle and gate, in the caller's transaction or, with autocommit, in one of its own.

    Returns for every settlement whether its fence still held, and for every request by delivery id
    the gate's answer. Nothing may be acted upon before it is committed. Telling a settlement twice
    changes nothing.
    """
    told = _TOLD.parameters(settlements)
    asked = _ASKED.parameters(requests)
    until = {"lease": lease.total_seconds()}
    if connection.dialect.name == "postgresql":
        found = set(run(connection, _at_once, **told, **asked, **until))
    else:
        found = set()
        if settlements:
            found.update((_SETTLED, row[0]) for row in run(connection, _settle, **told))
            run(connection, _note, **told)
        if requests:
            found.update((_OPENED, row[0]) for row in run(connection, _gate, **asked, **until))
    held = [(_SETTLED, each.id) in found for each in settlements]
    answers = {
        each.id: Gated.OPEN if (_OPENED, each.id) in found else Gated.LEASE_LOST
        for each in requests
    }
    if Gated.LEASE_LOST in answers.values():
        closed = run(connection, _close_refused, **asked)
        answers.update(dict.fromkeys((row[0] for row in closed), Gated.CLOSED))
    return held, answers


@cache
def _at_once(dialect: str) -> ClauseElement:
    """Return settle, note and gate as one statement (data-modifying CTEs)."""
    settled = _settle(dialect).cte("settled")
    opened = _gate(dialect).cte("opened")
    return union_all(
        select(literal(_SETTLED, Integer), settled.c.id),
        select(literal(_OPENED, Integer), opened.c.id),
    ).add_cte(_note(dialect).cte("noted"))


@cache
def _settle(dialect: str) -> Update:
    told = _TOLD.table(dialect)
    comes_from = or_(
        *(
            and_(told.c.state == after.value, delivery.c.state == before.value)
            for after, states in _SETTLES_FROM.items()
            for before in states
        )
    )
    again = told.c.state == _S.QUEUED.value
    return (
        update(delivery)
        .where(
            delivery.c.id == told.c.id,
            delivery.c.period == told.c.period,
            delivery.c.fence == told.c.fence,
            comes_from,
        )
        .values(
            state=told.c.state,
            attempts=delivery.c.attempts + told.c.counts,
            last_reply=told.c.reply,
            relay_queue_id=told.c.relay_queue_id,
            next_at=case((again, DatabaseTime(told.c.retry_in)), else_=delivery.c.next_at),
            settled_at=case((again, null()), else_=DatabaseTime()),
            lease_until=None,
            leased_by=None,
        )
        .returning(delivery.c.id)
    )


@cache
def _note(dialect: str) -> Insert:
    told = _TOLD.table(dialect)
    at = DatabaseTime()
    names = ["period", "delivery_id", "fence", "at", "relay", "outcome", "stage", "reply"]
    noted = select(
        told.c.period, told.c.id, told.c.fence, at,
        told.c.relay, told.c.state, told.c.stage, told.c.reply,
    ).where(literal(True))  # or SQLite takes ON CONFLICT for a join's ON  # fmt: skip
    return insert_for(dialect, attempt).from_select(names, noted).on_conflict_do_nothing()


@cache
def _gate(dialect: str) -> Update:
    asked = _ASKED.table(dialect)
    return (
        update(delivery)
        .where(_ours(asked), delivery.c.lease_until > DatabaseTime(), _may_go(asked))
        .values(state=_S.SENDING.value, lease_until=DatabaseTime(bindparam("lease", type_=Float)))
        .returning(delivery.c.id)
    )


@cache
def _close_refused(dialect: str) -> ClauseElement:
    """End what consent or suppression forbids; what only has to wait goes back."""
    asked = _ASKED.table(dialect)
    suppressed = _suppressed()
    for_campaign = and_(delivery.c.kind == DeliveryKind.CAMPAIGN.value, ~_campaign_sends(asked))
    waits = and_(~suppressed, or_(is_halted(), for_campaign))
    return (
        update(delivery)
        .where(_ours(asked), ~_may_go(asked))
        .values(
            state=case(
                (suppressed, _S.SUPPRESSED.value),
                (waits, _S.QUEUED.value),
                else_=_S.WITHDRAWN.value,
            ),
            settled_at=case((waits, null()), else_=DatabaseTime()),
            lease_until=None,
            leased_by=None,
        )
        .returning(delivery.c.id)
    )


def _ours(asked: FromClause) -> ColumnElement[bool]:
    return and_(
        delivery.c.id == asked.c.id,
        delivery.c.period == asked.c.period,
        delivery.c.fence == asked.c.fence,
        delivery.c.state == _S.LEASED.value,
    )


def _may_go(asked: FromClause) -> ColumnElement[bool]:
    reader, newsletter = delivery.c.subscriber_id, delivery.c.newsletter_id
    purpose = (
        select(Campaign.purpose_id)
        .where(Campaign.id == delivery.c.campaign_id)
        .correlate(delivery)
        .scalar_subquery()
    )
    kind = delivery.c.kind
    return and_(
        ~is_halted(),
        ~_suppressed(),
        or_(
            and_(
                kind == DeliveryKind.CAMPAIGN.value,
                has_consent(reader, purpose),
                _campaign_sends(asked),
            ),
            and_(kind == DeliveryKind.CONFIRMATION.value, has_request(reader, newsletter)),
            kind == DeliveryKind.SERVICE.value,
            kind == DeliveryKind.TEST.value,
        ),
    )


def _suppressed() -> ColumnElement[bool]:
    return is_suppressed(
        delivery.c.subscriber_id,
        delivery.c.newsletter_id,
        delivery.c.recipient_hash,
        asks=delivery.c.kind == DeliveryKind.CONFIRMATION.value,
    )


def _campaign_sends(asked: FromClause) -> ColumnElement[bool]:
    """Condition: the campaign is being sent, and this mail was made from what it holds now."""
    return (
        select(literal(1))
        .where(
            Campaign.id == delivery.c.campaign_id,
            Campaign.state == CampaignState.SENDING.value,
            Campaign.version == asked.c.version,
        )
        .correlate(delivery, asked)
        .exists()
    )
