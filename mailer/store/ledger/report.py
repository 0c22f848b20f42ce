"""Reports over deliveries. "Done" is a query, not a counter that can go wrong."""

from __future__ import annotations

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from mailer.domain.deliveries import OPEN, DeliveryState
from mailer.store.models import delivery


def counts(session: Session, campaign_id: int) -> dict[str, int]:
    """Return the number of the campaign's deliveries in every state, zeros included."""
    found = dict.fromkeys((state.value for state in DeliveryState), 0)
    rows = session.execute(
        select(delivery.c.state, func.count())
        .where(delivery.c.campaign_id == campaign_id, delivery.c.kind == "campaign")
        .group_by(delivery.c.state)
    )
    found.update(dict(rows.all()))
    return found


def has_open(session: Session, campaign_id: int) -> bool:
    """Say whether a delivery of the campaign still has something to be done by itself."""
    statement = select(
        exists().where(
            delivery.c.campaign_id == campaign_id,
            delivery.c.state.in_([state.value for state in OPEN]),
        )
    )
    return bool(session.scalar(statement))
