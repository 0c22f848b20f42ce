"""What ends by itself: requests that nobody confirmed, implied consent, silence where an answer
was asked for.

Every end is looked up first and looked at again under the reader's lock: who has confirmed or
renewed in between is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, or_, select, update
from sqlalchemy.orm import Session

from mailer.domain.consent import CONFIRM_WITHIN, ConsentState, Method, SubscriptionState
from mailer.domain.deliveries import DeliveryState
from mailer.store.audience import agreed_at, waits_since
from mailer.store.consents import Evidence, record
from mailer.store.engine import Sessions, reading
from mailer.store.models import Campaign, Subscription, delivery
from mailer.store.readers import lock_reader

BATCH = 40
"""Readers per transaction: well under 50 ms on SQLite, so that others get their turn."""

_REACHED = (DeliveryState.SENT.value, DeliveryState.PRESUMED_SENT.value)


def expire_requests(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """End a batch of requests that nobody confirmed in time; return how many."""
    return _expire(
        session,
        and_(
            Subscription.state == SubscriptionState.PENDING.value,
            Subscription.since < now - CONFIRM_WITHIN,
        ),
        now=now,
        limit=limit,
    )


def expire_consents(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """End a batch of implied consents whose time is over; return how many.

    The gate has let nothing through since the moment itself (`audience.stands`). Who was asked for
    their word meanwhile may give it as long as anybody else: the end is written down after that.
    """
    asked = waits_since()
    return _expire(
        session,
        and_(
            Subscription.state == SubscriptionState.ACTIVE.value,
            Subscription.valid_until <= now,
            or_(asked.is_(None), asked < now - CONFIRM_WITHIN),
        ),
        now=now,
        limit=limit,
    )


def expire_unanswered(
    sessions: Sessions, *, now: datetime, pause: Callable[[], None] = lambda: None
) -> int:
    """End the consent of those who were asked to renew it by a date and did not; return how many.

    Killed in the middle, it begins again, and finds those that are left.
    """
    with reading(sessions) as session:
        due = session.scalars(select(Campaign.id).where(Campaign.answer_by <= now)).all()
    return sum(_expire_silent(sessions, campaign_id, now, pause) for campaign_id in due)


def _expire_silent(
    sessions: Sessions, campaign_id: int, now: datetime, pause: Callable[[], None]
) -> int:
    after = ended = 0
    while True:
        with reading(sessions) as session:  # walks over all who answered: nobody waits for that
            silent = _silent(session.get_one(Campaign, campaign_id))
            found = session.scalars(
                select(Subscription.subscriber_id)
                .where(silent, Subscription.subscriber_id > after)
                .order_by(Subscription.subscriber_id)
                .limit(BATCH)
            ).all()
        with sessions.begin() as session:
            if not found:
                done = update(Campaign).where(Campaign.id == campaign_id).values(answer_by=None)
                session.execute(done)
                return ended
            campaign = session.get_one(Campaign, campaign_id)
            ended += _expire_each(
                session,
                ((reader_id, campaign.purpose_id) for reader_id in found),
                _silent(campaign),
                Evidence(Method.EXPIRY, source=f"no answer to campaign {campaign_id}"),
                now,
            )
        after = found[-1]
        pause()


def _silent(campaign: Campaign) -> ColumnElement[bool]:
    """Condition: was sent the campaign, and has agreed to nothing since."""
    reached = exists().where(
        delivery.c.period == campaign.period,
        delivery.c.campaign_id == campaign.id,
        delivery.c.subscriber_id == Subscription.subscriber_id,
        delivery.c.state.in_(_REACHED),
    )
    agreed = agreed_at(Subscription.subscriber_id.expression, Subscription.purpose_id.expression)
    return and_(
        Subscription.purpose_id == campaign.purpose_id,
        Subscription.state == SubscriptionState.ACTIVE.value,
        reached,
        agreed < campaign.started_at,
    )


def _expire(session: Session, over: ColumnElement[bool], *, now: datetime, limit: int) -> int:
    found = session.execute(
        select(Subscription.subscriber_id, Subscription.purpose_id).where(over).limit(limit)
    ).all()
    keys = ((reader_id, purpose_id) for reader_id, purpose_id in sorted(found))
    return _expire_each(session, keys, over, Evidence(Method.EXPIRY), now)


def _expire_each(
    session: Session,
    keys: Iterable[tuple[int, int]],
    over: ColumnElement[bool],
    evidence: Evidence,
    now: datetime,
) -> int:
    """End what is still over once its reader is locked; return how many."""
    ended = 0
    for reader_id, purpose_id in keys:
        reader = lock_reader(session, reader_id)
        subscription = session.scalar(
            select(Subscription).where(
                Subscription.subscriber_id == reader_id,
                Subscription.purpose_id == purpose_id,
                over,
            )
        )
        if reader is not None and subscription is not None:
            record(session, reader, subscription.purpose, ConsentState.EXPIRED, evidence, now=now)
            ended += 1
    return ended
