"""Gate and settle: the two steps between which the relay may take a mail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, case, exists, or_, select, tuple_, update
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.consent import SubscriptionState
from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.store.audience import has_consent, is_suppressed
from mailer.store.clock import Now, at
from mailer.store.models import Campaign, Subscription, attempt, delivery

_S = DeliveryState


@dataclass(frozen=True, slots=True)
class GateRequest:
    """May the content of this delivery be handed over now?"""

    id: int
    period: int
    fence: int


class Gated(StrEnum):
    """The gate's answer. Anything but OPEN means: hang up, not a byte of content."""

    OPEN = "open"
    CLOSED = "closed"  # consent, suppression or the campaign's state forbid it
    LEASE_LOST = "lease lost"  # another worker has it, or it has been ended


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one handed-over or refused delivery.

    `state` is where it goes; `retry_at` says when a delivery that goes back to the queue is due.
    """

    id: int
    period: int
    fence: int
    state: DeliveryState
    relay: str
    stage: str
    reply: str
    retry_in: timedelta | None = None
    relay_queue_id: str | None = None
    counts: bool = True  # whether it was the delivery's own attempt, or only the relay's trouble


# What a settlement finds the row in. `uncertain` is there because evidence may come late: a worker
# that was frozen over its lease still knows what the relay told it.
_SETTLES_FROM: dict[DeliveryState, tuple[DeliveryState, ...]] = {
    _S.SENT: (_S.SENDING, _S.UNCERTAIN),
    _S.UNCERTAIN: (_S.SENDING,),
    _S.FAILED: (_S.LEASED, _S.SENDING),
    _S.QUEUED: (_S.LEASED, _S.SENDING),
}


def exchange(
    session: Session,
    settlements: Sequence[Settlement],
    requests: Sequence[GateRequest],
    *,
    lease: timedelta,
    now: Now = None,
) -> tuple[list[bool], dict[int, Gated]]:
    """Settle what is known and gate what waits, in the caller's one transaction.

    Returns for every settlement whether its fence still held, and for every request by delivery id
    the gate's answer. Nothing may be acted upon before the transaction is committed.
    """
    held = [_settle(session, settlement, now) for settlement in settlements]
    return held, _gate(session, requests, lease, now) if requests else {}


def _settle(session: Session, settlement: Settlement, now: Now) -> bool:
    moment = at(now)
    final = settlement.state is not _S.QUEUED
    values: dict[str, object] = {
        "state": settlement.state.value,
        "attempts": delivery.c.attempts + (1 if settlement.counts else 0),
        "last_reply": settlement.reply,
        "relay_queue_id": settlement.relay_queue_id,
        "lease_until": None,
        "leased_by": None,
    }
    if final:
        values["settled_at"] = moment
    else:
        values["next_at"] = at(now, settlement.retry_in or timedelta())
    connection = session.connection()
    updated = connection.execute(
        update(delivery)
        .where(
            delivery.c.period == settlement.period,
            delivery.c.id == settlement.id,
            delivery.c.fence == settlement.fence,
            delivery.c.state.in_([state.value for state in _SETTLES_FROM[settlement.state]]),
        )
        .values(values)
    ).rowcount
    connection.execute(
        attempt.insert().values(
            period=settlement.period,
            delivery_id=settlement.id,
            fence=settlement.fence,
            at=moment,
            relay=settlement.relay,
            outcome=settlement.state.value,
            stage=settlement.stage,
            reply=settlement.reply,
        )
    )
    return updated == 1


def _gate(
    session: Session, requests: Sequence[GateRequest], lease: timedelta, now: Now
) -> dict[int, Gated]:
    ours = and_(
        tuple_(delivery.c.period, delivery.c.id, delivery.c.fence).in_(
            [(request.period, request.id, request.fence) for request in requests]
        ),
        delivery.c.state == _S.LEASED.value,
    )
    connection = session.connection()
    opened = connection.scalars(
        update(delivery)
        .where(ours, delivery.c.lease_until > at(now), _may_go())
        .values(state=_S.SENDING.value, lease_until=at(now, lease))
        .returning(delivery.c.id)
    ).all()
    answers = {request.id: Gated.LEASE_LOST for request in requests}
    answers.update(dict.fromkeys(opened, Gated.OPEN))
    if len(opened) < len(requests):
        answers.update(dict.fromkeys(_close_refused(session, ours, now), Gated.CLOSED))
    return answers


def _close_refused(session: Session, ours: ColumnElement[bool], now: Now) -> Sequence[int]:
    """End what consent or suppression forbids; what only waits for its campaign goes back."""
    suppressed = is_suppressed(delivery.c.subscriber_id, delivery.c.newsletter_id)
    waits = and_(delivery.c.kind == DeliveryKind.CAMPAIGN.value, ~_campaign_sends())
    return (
        session.connection()
        .scalars(
            update(delivery)
            .where(ours, ~_may_go())
            .values(
                state=case(
                    (suppressed, _S.SUPPRESSED.value),
                    (waits, _S.QUEUED.value),
                    else_=_S.WITHDRAWN.value,
                ),
                settled_at=case((and_(~suppressed, waits), None), else_=at(now)),
                lease_until=None,
                leased_by=None,
            )
            .returning(delivery.c.id)
        )
        .all()
    )


def _may_go() -> ColumnElement[bool]:
    purpose = (
        select(Campaign.purpose_id)
        .where(Campaign.id == delivery.c.campaign_id)
        .correlate(delivery)
        .scalar_subquery()
    )
    request_stands = exists().where(
        Subscription.subscriber_id == delivery.c.subscriber_id,
        Subscription.newsletter_id == delivery.c.newsletter_id,
        Subscription.state == SubscriptionState.PENDING.value,
    )
    kind = delivery.c.kind
    return and_(
        ~is_suppressed(delivery.c.subscriber_id, delivery.c.newsletter_id),
        or_(
            and_(
                kind == DeliveryKind.CAMPAIGN.value,
                has_consent(delivery.c.subscriber_id, purpose),
                _campaign_sends(),
            ),
            and_(kind == DeliveryKind.CONFIRMATION.value, request_stands),
            kind.in_([DeliveryKind.SERVICE.value, DeliveryKind.TEST.value]),
        ),
    )


def _campaign_sends() -> ColumnElement[bool]:
    return exists().where(
        Campaign.id == delivery.c.campaign_id, Campaign.state == CampaignState.SENDING.value
    )
