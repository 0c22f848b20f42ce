"""By a person's order: what had failed goes again, what nobody knows is decided."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, update
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.store.models import Campaign, delivery

_S = DeliveryState


def requeue(session: Session, campaign: Campaign, state: DeliveryState, *, now: datetime) -> int:
    """Put the campaign's deliveries in this final state back into the queue; return how many."""
    return _change(session, campaign, state, state=_S.QUEUED.value, next_at=now, settled_at=None)


def presume_sent(session: Session, campaign: Campaign, *, now: datetime) -> int:
    """Let a person's word stand where the relay's is missing; return for how many."""
    return _change(session, campaign, _S.UNCERTAIN, state=_S.PRESUMED_SENT.value, settled_at=now)


def of_campaign(campaign: Campaign) -> ColumnElement[bool]:
    """Condition: a row of the campaign's audience; names the whole key, in its order."""
    return and_(
        delivery.c.period == campaign.period,
        delivery.c.campaign_id == campaign.id,
        delivery.c.kind == DeliveryKind.CAMPAIGN.value,
    )


def _change(session: Session, campaign: Campaign, before: DeliveryState, **values: object) -> int:
    result = session.connection().execute(
        update(delivery)
        .where(of_campaign(campaign), delivery.c.state == before.value)
        .values(values)
    )
    return result.rowcount
