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

from mailer.domain.consent import AGREES, ConsentState, SubscriptionState
from mailer.domain.notices import best_locale, language
from mailer.domain.suppression import SCOPE_ALL, SuppressionReason
from mailer.store.clock import DatabaseTime
from mailer.store.corrections import is_to_be_told, was_not_reached
from mailer.store.models import (
    Campaign,
    ConsentEvent,
    Newsletter,
    Notice,
    Purpose,
    Subscriber,
    Subscription,
    Suppression,
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
    """Condition: this reader has asked for something that still waits to be confirmed.

    At the gate, where no event is looked up: a request beside an implied consent may stand while
    that does. What ends either of them ends the mail that asks, in its own transaction.
    """
    return exists().where(
        Subscription.subscriber_id == subscriber_id,
        Subscription.newsletter_id == newsletter_id,
        or_(Subscription.state == SubscriptionState.PENDING, _is_implied()),
    )


def waits() -> ColumnElement[bool]:
    """Condition: the reader was asked for their word last, and has not given it."""
    return or_(
        Subscription.state == SubscriptionState.PENDING,
        and_(_is_implied(), _requested_last().is_not(None)),
    )


def waits_since() -> ColumnElement[datetime | None]:
    """Return, as SQL, when the reader was asked for what waits for their word; NULL: nothing."""
    return case(
        (Subscription.state == SubscriptionState.PENDING, Subscription.since),
        (_is_implied(), _requested_last()),
    )


def _is_implied() -> ColumnElement[bool]:
    """Condition: this subscription is active because of a relation that ends."""
    return and_(
        Subscription.state == SubscriptionState.ACTIVE, Subscription.valid_until.is_not(None)
    )


def _requested_last() -> ScalarSelect[datetime | None]:
    """Return, as SQL, when the last event was, where it is a request; else NULL."""
    requested = ConsentEvent.state == ConsentState.REQUESTED.value
    return (
        select(case((requested, ConsentEvent.at)))
        .where(
            ConsentEvent.subscriber_id == Subscription.subscriber_id,
            ConsentEvent.purpose_id == Subscription.purpose_id,
        )
        .order_by(ConsentEvent.id.desc())
        .limit(1)
        .correlate(Subscription)
        .scalar_subquery()
    )


def of_audience(
    session: Session, campaign: Campaign, *, after: int, upto: int
) -> ColumnElement[bool]:
    """Condition: this subscription makes a reader with an id in (`after`, `upto`] get the mail."""
    receives = and_(
        Subscription.subscriber_id > after,
        Subscription.subscriber_id <= upto,
        _receives(campaign.purpose_id),
    )
    if campaign.corrects_id is not None:
        return and_(receives, *is_to_be_told(session, campaign))
    if campaign.renews_notice_id is None:
        return receives
    notice = session.get_one(Notice, campaign.renews_notice_id)
    return and_(receives, _is_to_be_asked(session, notice, campaign.newsletter, campaign.id))


def audience_size(session: Session, campaign: Campaign) -> int:
    """Return how many readers the campaign would reach now."""
    condition = of_audience(session, campaign, after=0, upto=_NO_END)
    return session.scalar(select(func.count()).where(condition)) or 0


def count_to_ask(session: Session, purpose: Purpose, notice: Notice) -> int:
    """Return how many readers a campaign for this purpose would ask about this wording now."""
    condition = and_(
        _receives(purpose.id), _is_to_be_asked(session, notice, purpose.newsletter, None)
    )
    return session.scalar(select(func.count()).where(condition)) or 0


def _receives(purpose_id: int) -> ColumnElement[bool]:
    return and_(
        Subscription.purpose_id == purpose_id,
        stands(),
        ~is_suppressed(
            Subscription.__table__.c.subscriber_id, Subscription.__table__.c.newsletter_id
        ),
    )


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


def has_agreed(
    subscriber_id: ColumnElement[int],
    purpose_id: ColumnElement[int],
    since: ColumnElement[datetime | None],
) -> ColumnElement[bool]:
    """Condition: the reader has agreed to something for this purpose since a moment."""
    return (
        exists()
        .where(
            ConsentEvent.subscriber_id == subscriber_id,
            ConsentEvent.purpose_id == purpose_id,
            or_(*(ConsentEvent.state == each for each in sorted(AGREES))),
            ConsentEvent.at >= since,
        )
        .correlate_except(ConsentEvent)
    )


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


def _is_to_be_asked(
    session: Session, notice: Notice, newsletter: Newsletter, campaign_id: int | None
) -> ColumnElement[bool]:
    """Condition: their current wording is another than they agreed to, and no other has asked them.

    Under a wording that is no longer the current one, nobody is. All of it is looked up reader by
    reader: scalar subqueries, which PostgreSQL does not turn into joins over everybody.
    """
    current = current_notices(session, newsletter.id)
    if current[notice.locale] is not notice:
        return false()
    reader, purpose = Subscription.subscriber_id.expression, Subscription.purpose_id.expression
    return and_(
        agreed_notice(reader, purpose).is_distinct_from(notice.id),
        _locale_shown(list(current), newsletter.locale) == notice.locale,
        *(was_not_reached(*each) for each in _others_that_ask(session, notice, campaign_id)),
    )


def _locale_shown(available: list[str], default: str) -> ScalarSelect[str]:
    """Return, as SQL, which of the `available` locales a reader is shown: `best_locale`."""
    reader = aliased(Subscriber)
    own = func.lower(reader.locale)
    by_language = {language(each): each for each in reversed(available)}
    shown = case(
        *((reader.locale == each, each) for each in available),
        *((own == spoken, each) for spoken, each in by_language.items()),
        *((own.startswith(f"{spoken}-"), each) for spoken, each in by_language.items()),
        else_=best_locale([], available, default),
    )
    return select(shown).where(reader.id == Subscription.subscriber_id).scalar_subquery()


def _others_that_ask(
    session: Session, notice: Notice, campaign_id: int | None
) -> list[tuple[int, int]]:
    """Return period and id of the other campaigns about this wording that have begun."""
    found = session.execute(
        select(Campaign.period, Campaign.id).where(
            Campaign.renews_notice_id == notice.id,
            Campaign.id.is_distinct_from(campaign_id),
            Campaign.started_at.is_not(None),
        )
    )
    return [(period, other) for period, other in found]
