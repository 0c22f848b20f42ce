"""Planning: rows for everybody who is to get a mail, before anybody gets one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.orm import Session

from mailer.domain.consent import SubscriptionState
from mailer.domain.deliveries import DeliveryKind, DeliveryState, Lane
from mailer.domain.schedule import BadSchedule, moment_in
from mailer.store.audience import of_audience
from mailer.store.clock import Instant, Later
from mailer.store.ledger.sample import in_sample
from mailer.store.models import Campaign, Subscriber, Subscription, delivery
from mailer.store.once import insert_into


@dataclass(frozen=True, slots=True)
class Planned:
    """What one chunk added, and whether the audience is through."""

    added: int
    finished: bool


def plan_chunk(
    session: Session, campaign: Campaign, *, limit: int, now: datetime, expires_at: datetime
) -> Planned:
    """Write rows for the next `limit` readers of the frozen audience and advance the cursor.

    The rows and the cursor are one transaction, and the key is unique per campaign and reader, so
    that a chunk that is run twice adds nothing. While the campaign is held by its canary, only the
    sample gets rows.
    """
    after, upper = campaign.cursor_subscriber_id, campaign.upper_subscriber_id
    bound = _last_of_chunk(session, campaign.purpose_id, after, upper, limit)
    readers = (
        select(
            literal(campaign.period, Integer),
            literal(campaign.id),
            Subscriber.id,
            literal(campaign.newsletter_id),
            _due_at(session, campaign, after, bound, now),
            literal(now, Instant()),
            literal(expires_at, Instant()),
            literal(campaign.lane),
            literal(DeliveryKind.CAMPAIGN.value, Text),
            literal(DeliveryState.QUEUED.value, Text),
            Subscriber.provider,
        )
        .join(Subscription, Subscription.subscriber_id == Subscriber.id)
        .where(of_audience(session, campaign, after=after, upto=bound))
    )
    if campaign.held:
        readers = readers.where(in_sample(campaign))
    statement = (
        insert_into(session, delivery)
        .from_select(
            [
                "period", "campaign_id", "subscriber_id", "newsletter_id", "next_at",
                "created_at", "expires_at", "lane", "kind", "state", "provider",
            ],
            readers,
            include_defaults=False,
        )
        .on_conflict_do_nothing()
    )  # fmt: skip
    added = (
        session.connection()
        .execute(statement, execution_options={"preserve_rowcount": True})
        .rowcount
    )
    campaign.cursor_subscriber_id = bound
    return Planned(added, finished=bound >= upper)


def _due_at(
    session: Session, campaign: Campaign, after: int, upto: int, now: datetime
) -> ColumnElement[datetime]:
    """Return when the mails of these readers are due.

    At once; or when the reader's own clock shows the campaign's time; or spread evenly by the
    readers' ids. A canary's sample goes at once; the rest is spread from its release on.
    """
    if not campaign.held and campaign.own_time is not None:
        return _in_own_time(session, campaign, campaign.own_time, after, upto)
    if campaign.held or not campaign.spread_seconds:
        return literal(now, Instant())
    first = session.scalar(
        select(func.min(Subscription.subscriber_id)).where(
            Subscription.purpose_id == campaign.purpose_id,
            Subscription.state == SubscriptionState.ACTIVE.value,
        )
    )
    span = max(campaign.upper_subscriber_id - (first or 0), 1)
    share = cast(Subscriber.id - (first or 0), Float) / float(span)
    released_at = campaign.canary.released_at if campaign.canary else None
    begin = released_at or campaign.started_at or now
    return Later(begin, share * float(campaign.spread_seconds))


def _in_own_time(
    session: Session, campaign: Campaign, wall: datetime, after: int, upto: int
) -> ColumnElement[datetime]:
    """Return when each reader's clock shows that time, or the newsletter's where it is unknown."""
    home = moment_in(campaign.newsletter.timezone, wall)
    zones = select(Subscriber.timezone).where(Subscriber.id > after, Subscriber.id <= upto)
    alike: dict[datetime, list[str]] = defaultdict(list)
    for name in session.scalars(zones.distinct()):
        alike[_moment_where(name, wall, home)].append(name)
    alike.pop(home, None)
    there = [
        (Subscriber.timezone.in_(names), literal(moment, Instant()))
        for moment, names in alike.items()
    ]
    elsewhere = literal(home, Instant())
    return case(*there, else_=elsewhere) if there else elsewhere


def _moment_where(name: str, wall: datetime, home: datetime) -> datetime:
    try:
        return moment_in(name, wall) if name else home
    except BadSchedule:  # a name that this machine's time zones do not have any more
        return home


def _last_of_chunk(session: Session, purpose_id: int, after: int, upper: int, limit: int) -> int:
    """Return the id of the `limit`-th reader after `after`, or `upper` where fewer are left."""
    statement = (
        select(Subscription.subscriber_id)
        .where(
            Subscription.purpose_id == bindparam("purpose"),
            Subscription.state == SubscriptionState.ACTIVE.value,
            Subscription.subscriber_id > bindparam("after"),
            Subscription.subscriber_id <= bindparam("upper"),
        )
        .order_by(Subscription.subscriber_id)
        .offset(limit - 1)
        .limit(1)
    )
    found = session.scalar(statement, {"purpose": purpose_id, "after": after, "upper": upper})
    return upper if found is None else found


def queue_mail(
    session: Session,
    *,
    kind: DeliveryKind,
    newsletter_id: int,
    variant_id: int,
    provider: str,
    now: datetime,
    expires_at: datetime,
    subscriber_id: int | None = None,
    recipient: str | None = None,
    recipient_hash: str | None = None,
    serial: int = 0,
    campaign_id: int | None = None,
) -> int:
    """Write one row for a mail that belongs to no campaign's audience; return its id."""
    statement = (
        delivery.insert()
        .values(
            period=period_of(now),
            campaign_id=campaign_id,
            subscriber_id=subscriber_id,
            newsletter_id=newsletter_id,
            variant_id=variant_id,
            next_at=now,
            created_at=now,
            expires_at=expires_at,
            lane=int(Lane.TRANSACTIONAL),
            serial=serial,
            kind=kind.value,
            state=DeliveryState.QUEUED.value,
            provider=provider,
            recipient=recipient,
            recipient_hash=recipient_hash,
        )
        .returning(delivery.c.id)
    )
    return int(session.connection().execute(statement).scalar_one())


def period_of(moment: datetime) -> int:
    """Return the partition that a row made at `moment` belongs to: year * 100 + month (UTC)."""
    return moment.year * 100 + moment.month
