"""Who may receive mail: one condition, used when a campaign is planned and again at the gate."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, exists, func, literal, or_, select
from sqlalchemy.orm import Session

from mailer.domain.consent import SubscriptionState
from mailer.domain.suppression import SCOPE_ALL, SuppressionReason
from mailer.store.models import Campaign, Newsletter, Subscriber, Subscription, Suppression


def is_suppressed(
    subscriber_id: ColumnElement[int],
    newsletter_id: ColumnElement[int],
    address_hash: ColumnElement[str | None] | None = None,
    *,
    asks: ColumnElement[bool] | None = None,
) -> ColumnElement[bool]:
    """Condition: this reader's address is suppressed, everywhere or for this newsletter.

    `address_hash` stands for mails that go to an address and to no reader. Where a mail only `asks`
    for what the reader requested, an earlier erasure does not stand in its way.
    """
    in_scope = or_(Suppression.scope == SCOPE_ALL, Suppression.scope == Newsletter.slug)
    if asks is not None:
        in_scope = and_(in_scope, or_(Suppression.reason != SuppressionReason.ERASURE.value, ~asks))
    of_reader = (
        select(literal(1))
        .select_from(Subscriber)
        .join(Suppression, Suppression.address_hash == Subscriber.address_hash)
        .join(Newsletter, Newsletter.id == newsletter_id)
        .where(Subscriber.id == subscriber_id, in_scope)
        .exists()
    )
    if address_hash is None:
        return of_reader
    of_address = (
        select(literal(1))
        .select_from(Suppression)
        .join(Newsletter, Newsletter.id == newsletter_id)
        .where(Suppression.address_hash == address_hash, in_scope)
        .exists()
    )
    return or_(of_reader, of_address)


def has_consent(
    subscriber_id: ColumnElement[int], purpose_id: ColumnElement[int]
) -> ColumnElement[bool]:
    """Condition: this reader's consent for this purpose stands."""
    return exists().where(
        Subscription.subscriber_id == subscriber_id,
        Subscription.purpose_id == purpose_id,
        Subscription.state == SubscriptionState.ACTIVE,
    )


def has_request(
    subscriber_id: ColumnElement[int], newsletter_id: ColumnElement[int]
) -> ColumnElement[bool]:
    """Condition: this reader has asked for something that still waits to be confirmed."""
    return exists().where(
        Subscription.subscriber_id == subscriber_id,
        Subscription.newsletter_id == newsletter_id,
        Subscription.state == SubscriptionState.PENDING,
    )


def of_audience(campaign: Campaign, *, after: int, upto: int) -> ColumnElement[bool]:
    """Condition: this subscription makes a reader with an id in (`after`, `upto`] get the mail."""
    return and_(
        Subscription.purpose_id == campaign.purpose_id,
        Subscription.state == SubscriptionState.ACTIVE,
        Subscription.subscriber_id > after,
        Subscription.subscriber_id <= upto,
        ~is_suppressed(
            Subscription.__table__.c.subscriber_id, Subscription.__table__.c.newsletter_id
        ),
    )


def audience_size(session: Session, purpose_id: int, newsletter_id: int) -> int:
    """Return how many readers a campaign for this purpose would reach now."""
    suppressed = is_suppressed(
        Subscription.__table__.c.subscriber_id, Subscription.__table__.c.newsletter_id
    )
    statement = select(func.count()).where(
        Subscription.purpose_id == purpose_id,
        Subscription.newsletter_id == newsletter_id,
        Subscription.state == SubscriptionState.ACTIVE,
        ~suppressed,
    )
    return session.scalar(statement) or 0
