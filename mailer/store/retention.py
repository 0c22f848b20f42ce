"""Finding and deleting what has been kept for long enough, in batches. Mails are the ledger's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session, aliased

from mailer.domain.consent import CONFIRM_WITHIN, ConsentState, SubscriptionState
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    Erasure,
    Feedback,
    Installation,
    OperatorAction,
    StoredImage,
    Subscriber,
    Subscription,
    campaign_image,
)

_AGREED = (ConsentState.GIVEN.value, ConsentState.RENEWED.value)
_STANDING = (SubscriptionState.ACTIVE.value, SubscriptionState.PENDING.value)
_TURNED_AWAY = (SubscriptionState.LEFT.value, SubscriptionState.REFUSED.value)


def is_due(session: Session, *, last_before: datetime) -> bool:
    """Say whether the job has not begun since then; only looks."""
    last = session.scalar(select(Installation.retained_at))
    return last is None or last < last_before


def take_turn(session: Session, *, last_before: datetime, now: datetime) -> bool:
    """Note that the job begins now, unless it has begun since; False: somebody else has.

    Two workers at once: one of them gets a row.
    """
    result = session.connection().execute(
        update(Installation)
        .where(or_(Installation.retained_at.is_(None), Installation.retained_at < last_before))
        .values(retained_at=now)
    )
    return result.rowcount > 0


def count_feedback(session: Session, before: datetime) -> int:
    """Return how many bounces and complaints are older."""
    return session.scalar(select(func.count()).where(Feedback.received_at < before)) or 0


def delete_feedback(session: Session, before: datetime, *, limit: int) -> int:
    """Delete a batch of older bounces and complaints; return how many."""
    old = select(Feedback.id).where(Feedback.received_at < before).order_by(Feedback.id)
    batch = old.limit(limit)
    return session.connection().execute(delete(Feedback).where(Feedback.id.in_(batch))).rowcount


def count_actions(session: Session, before: datetime) -> int:
    """Return how many acts in the audit trail are older."""
    return session.scalar(select(func.count()).where(OperatorAction.at < before)) or 0


def delete_actions(session: Session, before: datetime, *, limit: int) -> int:
    """Delete a batch of older acts from the audit trail; return how many."""
    old = select(OperatorAction.id).where(OperatorAction.at < before).order_by(OperatorAction.id)
    batch = delete(OperatorAction).where(OperatorAction.id.in_(old.limit(limit)))
    return session.connection().execute(batch).rowcount


def count_images(session: Session, before: datetime) -> int:
    """Return how many images no campaign shows, and none has fetched since."""
    return session.scalar(select(func.count()).select_from(StoredImage).where(_idle(before))) or 0


def delete_images(session: Session, before: datetime, *, limit: int) -> int:
    """Delete a batch of the images that no campaign shows; return how many."""
    idle = select(StoredImage.sha256).where(_idle(before)).order_by(StoredImage.sha256)
    batch = delete(StoredImage).where(StoredImage.sha256.in_(idle.limit(limit)))
    return session.connection().execute(batch).rowcount


def _idle(before: datetime) -> ColumnElement[bool]:
    shown = exists().where(campaign_image.c.sha256 == StoredImage.sha256)
    return and_(StoredImage.fetched_at < before, ~shown)


class Fruitless(NamedTuple):
    """A request that ended, and not with a consent: both events, the reader and the purpose.

    `ended` is None where an implied consent went on meanwhile: then nothing but time has ended the
    request, and whatever came later ended the consent.
    """

    request: int
    ended: int | None
    subscriber_id: int
    purpose_id: int


class Walked(NamedTuple):
    """What a piece of a walk over the consent events has found, and where it ended."""

    found: Sequence[Fruitless]
    last: int | None  # the last id of the piece; None: that was the end


def walk_requests(session: Session, before: datetime, *, after: int, limit: int) -> Walked:
    """Look at `limit` events on from `after` for requests that ended, and not with a consent.

    Such a request and its end prove nothing that anybody relies on; where a consent followed, or
    may still follow, the request is part of its proof. Only reads.
    """
    ids = select(ConsentEvent.id).where(ConsentEvent.id > after).order_by(ConsentEvent.id)
    piece = session.scalars(ids.limit(limit)).all()
    if not piece:
        return Walked((), None)
    rows = session.execute(_fruitless(after, piece[-1], before))
    last = piece[-1] if len(piece) == limit else None
    return Walked([Fruitless(*row) for row in rows], last)


def delete_request_evidence(session: Session, found: Sequence[Fruitless]) -> int:
    """Delete the evidence of these requests and of their ends, and what the forms said.

    The events stay, and with them their leaves. Return the evidence of how many is gone.
    """
    connection = session.connection()
    ends = {each.ended for each in found if each.ended is not None}
    events = {each.request for each in found} | ends
    evidence = delete(ConsentEvidence).where(ConsentEvidence.event.in_(events))
    for meanwhile, condition in (
        (False, Subscription.state.not_in(_STANDING)),
        (True, Subscription.state != SubscriptionState.PENDING.value),
    ):
        pairs = {
            (each.subscriber_id, each.purpose_id)
            for each in found
            if (each.ended is None) is meanwhile
        }
        if pairs:
            theirs = tuple_(Subscription.subscriber_id, Subscription.purpose_id).in_(pairs)
            clear = update(Subscription).where(theirs, condition)
            connection.execute(clear.values(details={}))
    return connection.execute(evidence).rowcount


def _fruitless(after: int, upto: int, before: datetime) -> Select[int, int | None, int, int]:
    """Return requests (with evidence) that an old event ended that gave nothing, or time did.

    Time ends a request beside which an implied consent goes on; one that is asked again goes on.
    """
    end, begin, again = aliased(ConsentEvent), aliased(ConsentEvent), aliased(ConsentEvent)
    meanwhile = func.coalesce(begin.state.in_(_AGREED), literal(False))
    forgotten = before - CONFIRM_WITHIN
    asked_again = exists().where(
        _same(again),
        again.id > ConsentEvent.id,
        again.state == ConsentState.REQUESTED.value,
        again.at >= forgotten,
    )
    return (
        select(
            ConsentEvent.id,
            case((meanwhile, null()), else_=end.id),
            ConsentEvent.subscriber_id,
            ConsentEvent.purpose_id,
        )
        .join(ConsentEvidence, ConsentEvidence.event == ConsentEvent.id)
        .outerjoin(end, end.id == _other(func.min, lambda each: each.id > ConsentEvent.id))
        .outerjoin(begin, begin.id == _other(func.max, lambda each: each.id < ConsentEvent.id))
        .where(
            ConsentEvent.id > after,
            ConsentEvent.id <= upto,
            ConsentEvent.state == ConsentState.REQUESTED.value,
            or_(
                and_(~meanwhile, end.state.not_in(_AGREED), end.at < before),
                and_(
                    meanwhile,
                    func.coalesce(end.state.not_in(_AGREED), literal(True)),
                    ConsentEvent.at < forgotten,
                    ~asked_again,
                ),
            ),
        )
    )


def _other(
    nearest: Callable[..., Any], on_that_side: Callable[[Any], ColumnElement[bool]]
) -> ScalarSelect[int]:
    """Return the nearest event, on one side of it, that is no request itself."""
    other = aliased(ConsentEvent)
    return (
        select(nearest(other.id))
        .where(_same(other), on_that_side(other), other.state != ConsentState.REQUESTED.value)
        .correlate(ConsentEvent)
        .scalar_subquery()
    )


def _same(other: Any) -> ColumnElement[bool]:
    """Condition: the other event is of the same reader and purpose."""
    return and_(
        other.subscriber_id == ConsentEvent.subscriber_id,
        other.purpose_id == ConsentEvent.purpose_id,
    )


def count_unconfirmed(session: Session, before: datetime) -> int:
    """Return how many readers have never agreed to anything, and asked for nothing since."""
    return (
        session.scalar(select(func.count()).select_from(Subscriber).where(_unconfirmed(before)))
        or 0
    )


def find_unconfirmed(
    session: Session, before: datetime, *, after: int, limit: int
) -> Sequence[int]:
    """Return the next of those readers on from the id `after`."""
    return _find(session, _unconfirmed(before), after, limit)


def lock_unconfirmed(session: Session, ids: Sequence[int], before: datetime) -> list[Subscriber]:
    """Return those who still are, locked; whoever is busy just now is left for the next run."""
    return _locked(session, ids, _unconfirmed(before))


def count_left(session: Session, before: datetime) -> int:
    """Return how many readers have left everything, and nothing happened since."""
    return session.scalar(select(func.count()).select_from(Subscriber).where(_left(before))) or 0


def find_left(session: Session, before: datetime, *, after: int, limit: int) -> Sequence[int]:
    """Return the next of those readers on from the id `after`."""
    return _find(session, _left(before), after, limit)


def lock_left(session: Session, ids: Sequence[int], before: datetime) -> list[Subscriber]:
    """Return those who still are, locked; whoever is busy just now is left for the next run."""
    return _locked(session, ids, _left(before))


def mark_cleaned(session: Session, reader_id: int, at: datetime) -> None:
    """Say of an erasure that nothing outside of the rows has to follow."""
    session.connection().execute(
        update(Erasure).where(Erasure.subscriber_id == reader_id).values(cleaned_at=at)
    )


def _find(
    session: Session, condition: ColumnElement[bool], after: int, limit: int
) -> Sequence[int]:
    return session.scalars(
        select(Subscriber.id)
        .where(Subscriber.id > after, condition)
        .order_by(Subscriber.id)
        .limit(limit)
    ).all()


def _locked(
    session: Session, ids: Sequence[int], condition: ColumnElement[bool]
) -> list[Subscriber]:
    """Lock first and look then: what was said before the lock is seen, and nothing after it."""
    wanted = select(Subscriber.id).where(Subscriber.id.in_(ids)).order_by(Subscriber.id)
    locked = session.scalars(wanted.with_for_update(skip_locked=True)).all()
    return list(session.scalars(select(Subscriber).where(Subscriber.id.in_(locked), condition)))


def _unconfirmed(before: datetime) -> ColumnElement[bool]:
    return and_(
        Subscriber.created_at < before,
        ~_subscription(Subscription.state.in_((*_STANDING, *_TURNED_AWAY))),
        ~_subscription(Subscription.since >= before),
        ~_agreed(),
    )


def _left(before: datetime) -> ColumnElement[bool]:
    return and_(
        _subscription(),
        ~_subscription(Subscription.state.in_(_STANDING)),
        ~_subscription(Subscription.since >= before),
        or_(_subscription(Subscription.state.in_(_TURNED_AWAY)), _agreed()),
    )


def _subscription(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(Subscription.subscriber_id == Subscriber.id, *conditions)


def _agreed() -> ColumnElement[bool]:
    return exists().where(
        ConsentEvent.subscriber_id == Subscriber.id, ConsentEvent.state.in_(_AGREED)
    )
