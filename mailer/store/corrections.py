"""Whom a correction mail is for: who got what is wrong, or may have, and has not been told."""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from mailer.domain.deliveries import MAY_HAVE_ARRIVED, NEVER_HANDED_OVER
from mailer.store.models import Campaign, Subscription, Variant, delivery


def is_to_be_told(session: Session, correction: Campaign) -> list[ColumnElement[bool]]:
    """Return, as conditions: the reader got a wrong version, or may have, and has not been told.

    Of what nobody knows the variant of, in a restored backup, it may have been any version.
    """
    corrected = session.get_one(Campaign, correction.corrects_id)
    wrong = session.scalars(
        select(Variant.id).where(
            Variant.campaign_id == corrected.id, Variant.version < correction.corrects_below
        )
    ).all()
    got = (
        select(delivery.c.id)
        .where(
            delivery.c.period == corrected.period,
            delivery.c.campaign_id == corrected.id,
            delivery.c.subscriber_id == Subscription.subscriber_id,
            delivery.c.state.in_([state.value for state in MAY_HAVE_ARRIVED]),
            or_(delivery.c.variant_id.in_(wrong), delivery.c.variant_id.is_(None)),
        )
        .scalar_subquery()
    )
    others = session.execute(
        select(Campaign.period, Campaign.id).where(
            Campaign.corrects_id == corrected.id,
            Campaign.corrects_below == correction.corrects_below,
            Campaign.id.is_distinct_from(correction.id),
            Campaign.started_at.is_not(None),
        )
    )
    told = [was_not_reached(period, other) for period, other in others]
    return [got.is_not(None), *told]


def was_not_reached(period: int, campaign_id: int) -> ColumnElement[bool]:
    """Condition: this campaign has not reached the reader, and will not, not by a retry either."""
    asked = (
        select(delivery.c.id)
        .where(
            delivery.c.period == period,
            delivery.c.campaign_id == campaign_id,
            delivery.c.subscriber_id == Subscription.subscriber_id,
            delivery.c.state.not_in([state.value for state in NEVER_HANDED_OVER]),
        )
        .scalar_subquery()
    )
    return asked.is_(None)
