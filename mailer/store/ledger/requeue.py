"""By a person's order: what had failed goes again, what nobody knows is decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, literal, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.store.audience import has_agreed
from mailer.store.clock import Instant
from mailer.store.models import Campaign, delivery

_S = DeliveryState


def in_state(session: Session, campaign: Campaign, state: DeliveryState) -> list[int]:
    """Return the ids of the campaign's deliveries in this state, in order."""
    statement = select(delivery.c.id).where(of_campaign(campaign), delivery.c.state == state.value)
    return list(session.scalars(statement.order_by(delivery.c.id)))


def requeue(
    session: Session,
    campaign: Campaign,
    ids: Sequence[int],
    before: DeliveryState,
    *,
    now: datetime,
) -> int:
    """Put these deliveries back into the queue, if they are in that state; return how many.

    What asks a reader to renew, who has done so since, stays as it is.
    """
    again = {"state": _S.QUEUED.value, "next_at": now, "settled_at": None}
    if campaign.renews_notice_id is None:
        return _change(session, campaign, ids, before, again)
    answered = has_agreed(
        delivery.c.subscriber_id, literal(campaign.purpose_id),
        literal(campaign.started_at, Instant()),
    )  # fmt: skip
    return _change(session, campaign, ids, before, again, ~answered)


def presume_sent(session: Session, campaign: Campaign, ids: Sequence[int], *, now: datetime) -> int:
    """Let a person's word stand where the relay's is missing; return for how many."""
    presumed = {"state": _S.PRESUMED_SENT.value, "settled_at": now}
    return _change(session, campaign, ids, _S.UNCERTAIN, presumed)


def of_campaign(campaign: Campaign) -> ColumnElement[bool]:
    """Condition: a row of the campaign's audience; names the whole key, in its order."""
    return and_(
        delivery.c.period == campaign.period,
        delivery.c.campaign_id == campaign.id,
        delivery.c.kind == DeliveryKind.CAMPAIGN.value,
    )


def _change(
    session: Session,
    campaign: Campaign,
    ids: Sequence[int],
    before: DeliveryState,
    values: dict[str, object],
    *where: ColumnElement[bool],
) -> int:
    # By period and id alone: with the campaign's key the whole campaign would be looked through.
    result = session.connection().execute(
        update(delivery)
        .where(
            delivery.c.period == campaign.period,
            delivery.c.id.in_(ids),
            delivery.c.state == before.value,
            *where,
        )
        .values(values)
    )
    return result.rowcount
