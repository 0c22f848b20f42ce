"""What mails are made from that depends on the reader: their details, and the topics they chose."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Select, bindparam, select
from sqlalchemy.orm import Session

from mailer.store.audience import of_audience
from mailer.store.models import (
    Campaign,
    Newsletter,
    ReaderTopic,
    Subscriber,
    Subscription,
    Topic,
)
from mailer.store.rowset import Rowset

_IDS = Rowset("ids", {"id": BigInteger()})


class Profile(NamedTuple):
    """A reader, as one newsletter knows them; topics by their slugs, in the newsletter's order."""

    subscriber_id: int
    email: str
    name: str
    locale: str
    timezone: str
    attributes: Mapping[str, Any]
    topics: tuple[str, ...]


def profiles(
    connection: Connection, newsletter_id: int, readers: Collection[int]
) -> dict[int, Profile]:
    """Return the readers by their ids; those who have been erased are not there."""
    dialect, ids = connection.dialect.name, _IDS.parameters([(each,) for each in readers])
    rows = connection.execute(_readers(dialect), ids).all()
    chosen = connection.execute(_topics(dialect), {"newsletter": newsletter_id, **ids})
    topics: dict[int, list[str]] = {}
    for reader, slug in chosen:
        topics.setdefault(reader, []).append(slug)
    return {
        row[0]: Profile(
            row[0], row[1], row[2], row[3], row[4], row[5], tuple(topics.get(row[0], ()))
        )
        for row in rows
    }


def profile_of(session: Session, reader: Subscriber, newsletter: Newsletter) -> Profile:
    """Return one reader, as the newsletter knows them."""
    return profiles(session.connection(), newsletter.id, [reader.id])[reader.id]


def page_of_audience(
    session: Session, campaign: Campaign, *, after: int, limit: int
) -> Sequence[int]:
    """Return the next readers of the campaign's audience, by id."""
    upper = campaign.upper_subscriber_id
    return session.scalars(
        select(Subscription.subscriber_id)
        .where(of_audience(session, campaign, after=after, upto=upper))
        .order_by(Subscription.subscriber_id)
        .limit(limit)
    ).all()


def audience_locales(session: Session, campaign: Campaign) -> set[str]:
    """Return the locales that readers of the campaign's purpose have; "" for those who said none.

    Of all who ever received it, for that is quickly found; some of them may not be in the audience.
    """
    return set(
        session.scalars(
            select(Subscriber.locale)
            .distinct()
            .join(Subscription, Subscription.subscriber_id == Subscriber.id)
            .where(Subscription.purpose_id == campaign.purpose_id)
        )
    )


@cache
def _readers(dialect: str) -> Select[int, str, str, str, str, dict[str, Any]]:
    ids = _IDS.table(dialect)
    return select(
        Subscriber.id, Subscriber.email, Subscriber.name, Subscriber.locale, Subscriber.timezone,
        Subscriber.attributes,
    ).where(Subscriber.id == ids.c.id)  # fmt: skip


@cache
def _topics(dialect: str) -> Select[int, str]:
    ids = _IDS.table(dialect)
    return (
        select(ReaderTopic.subscriber_id, Topic.slug)
        .join(Topic, Topic.id == ReaderTopic.topic_id)
        .join(ids, ids.c.id == ReaderTopic.subscriber_id)
        .where(Topic.newsletter_id == bindparam("newsletter", type_=BigInteger))
        .order_by(Topic.position, Topic.id)
    )
