"""Who may receive mail: one condition, used when a campaign is planned and again at the gate."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session, aliased

from mailer.domain.consent import AGREES, SubscriptionState
from mailer.domain.deliveries import NEVER_HANDED_OVER
from mailer.domain.notices import best_locale, language
from mailer.domain.suppression import SCOPE_ALL, SuppressionReason
from mailer.store.clock import DatabaseTime
from mailer.store.models import (
    Campaign,
    ConsentEvent,
    Newsletter,
    Notice,
    Subscriber,
    Subscription,
    Suppression,
    delivery,
)

T = TypeVar("T")
_NO_END = 2**63 - 1


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


def stands() -> ColumnElement[bool]:
    """Condition: this subscription is active, and has not run out by the database's own clock.

    The sweep that ends what has run out may come late, or not at all; mail must not go meanwhile.
    """
    return and_(
        Subscription.state == SubscriptionState.ACTIVE,
        or_(Subscription.valid_until.is_(None), Subscription.valid_until > DatabaseTime()),
    )


def has_consent(
    subscriber_id: ColumnElement[int], purpose_id: ColumnElement[int]
) -> ColumnElement[bool]:
    """Condition: this reader's consent for this purpose stands."""
    return exists().where(
        Subscription.subscriber_id == subscriber_id,
        Subscription.purpose_id == purpose_id,
        stands(),
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


def of_audience(
    session: Session, campaign: Campaign, *, after: int, upto: int
) -> ColumnElement[bool]:
    """Condition: this subscription makes a reader with an id in (`after`, `upto`] get the mail."""
    condition = and_(
        Subscription.purpose_id == campaign.purpose_id,
        stands(),
        Subscription.subscriber_id > after,
        Subscription.subscriber_id <= upto,
        ~is_suppressed(
            Subscription.__table__.c.subscriber_id, Subscription.__table__.c.newsletter_id
        ),
    )
    if campaign.renews_notice_id is None:
        return condition
    return and_(condition, _is_to_be_asked(session, campaign, campaign.renews_notice_id))


def audience_size(session: Session, campaign: Campaign) -> int:
    """Return how many readers the campaign would reach now."""
    condition = of_audience(session, campaign, after=0, upto=_NO_END)
    return session.scalar(select(func.count()).where(condition)) or 0


def agreed_notice(
    subscriber_id: ColumnElement[int], purpose_id: ColumnElement[int]
) -> ScalarSelect[int | None]:
    """Return, as SQL, the wording that the reader agreed to last; NULL where it is not known."""
    return _of_agreement(ConsentEvent.notice_id.expression, subscriber_id, purpose_id)


def agreed_at(
    subscriber_id: ColumnElement[int], purpose_id: ColumnElement[int]
) -> ScalarSelect[datetime]:
    """Return, as SQL, when the reader agreed last."""
    return _of_agreement(ConsentEvent.at.expression, subscriber_id, purpose_id)


def current_notices(session: Session, newsletter_id: int) -> dict[str, Notice]:
    """Return the newest notice of every locale."""
    newest = (
        select(Notice.locale, func.max(Notice.version).label("version"))
        .where(Notice.newsletter_id == newsletter_id)
        .group_by(Notice.locale)
        .subquery()
    )
    found = session.scalars(
        select(Notice)
        .join(newest, and_(newest.c.locale == Notice.locale, newest.c.version == Notice.version))
        .where(Notice.newsletter_id == newsletter_id)
        .order_by(Notice.locale)
    )
    return {notice.locale: notice for notice in found}


def _of_agreement(
    what: ColumnElement[T], subscriber_id: ColumnElement[int], purpose_id: ColumnElement[int]
) -> ScalarSelect[T]:
    return (
        select(what)
        .where(
            ConsentEvent.subscriber_id == subscriber_id,
            ConsentEvent.purpose_id == purpose_id,
            ConsentEvent.state.in_(AGREES),
        )
        .order_by(ConsentEvent.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _is_to_be_asked(session: Session, campaign: Campaign, notice_id: int) -> ColumnElement[bool]:
    """Condition: their current wording is another than they agreed to, and nobody has asked them.

    Under a wording that is no longer the current one, nobody is.
    """
    notice = session.get_one(Notice, notice_id)
    current = current_notices(session, campaign.newsletter_id)
    if current[notice.locale].id != notice_id:
        return false()
    reader, purpose = Subscription.subscriber_id, Subscription.purpose_id
    agreed = agreed_notice(reader.expression, purpose.expression)
    return and_(
        agreed.is_distinct_from(notice_id),
        _reads(notice.locale, list(current), campaign.newsletter.locale),
        ~_was_asked(notice_id, campaign.id),
    )


def _reads(locale: str, available: list[str], default: str) -> ColumnElement[bool]:
    """Condition: of the `available` locales it is this one that the reader is shown.

    `best_locale` as SQL.
    """
    reader = aliased(Subscriber)
    own = func.lower(reader.locale)
    by_language = {language(each): each for each in reversed(available)}
    shown = case(
        *((reader.locale == each, each) for each in available),
        *((own == spoken, each) for spoken, each in by_language.items()),
        *((own.startswith(f"{spoken}-"), each) for spoken, each in by_language.items()),
        else_=best_locale([], available, default),
    )
    return (
        select(literal(1))
        .select_from(reader)
        .where(reader.id == Subscription.subscriber_id, shown == locale)
        .correlate(Subscription)
        .exists()
    )


def _was_asked(notice_id: int, campaign_id: int) -> ColumnElement[bool]:
    """Condition: another campaign has asked, or may yet ask, this reader under this wording."""
    earlier = aliased(Campaign)
    return (
        select(literal(1))
        .select_from(delivery)
        .join(earlier, earlier.id == delivery.c.campaign_id)
        .where(
            delivery.c.subscriber_id == Subscription.subscriber_id,
            delivery.c.state.not_in([state.value for state in NEVER_HANDED_OVER]),
            earlier.renews_notice_id == notice_id,
            earlier.id != campaign_id,
        )
        .correlate(Subscription)
        .exists()
    )
