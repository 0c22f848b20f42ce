"""The sample of a canary: who of the audience goes first, and what became of them.

While a campaign is held, nobody but the sample has a row; so all of its rows are the sample's.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session

from mailer.domain.canary import SampleOutcome
from mailer.domain.deliveries import NEVER_HANDED_OVER, DeliveryState
from mailer.store.audience import of_audience
from mailer.store.ledger.requeue import of_campaign
from mailer.store.models import Campaign, Feedback, Subscription, delivery

_S = DeliveryState
_PRIME = 2**31 - 1
_STEP = 1_327_217_885
"""The prime divided by the golden ratio. Multiples of it, modulo the prime, lie as evenly as can
be, and so do the ids that the smallest of them belong to; products stay within 64 bits."""
_CAMPAIGNS_APART = 889_516_852
"""The prime times √2 - 1: so it is not the same readers who go first every time."""

_CAME_BACK = ("bounce", "complaint")


@dataclass(frozen=True, slots=True)
class Sample:
    """Of an audience, the readers whose rank is at most `bound`."""

    bound: int
    readers: int
    audience: int


def choose_sample(session: Session, campaign: Campaign) -> Sample:
    """Choose who goes first, evenly over the audience's ids: exactly as many as were ordered.

    Only reads, which takes a few seconds for a million readers.
    """
    assert campaign.canary is not None, "it has a canary"
    of_all = of_audience(session, campaign, after=0, upto=campaign.upper_subscriber_id)
    audience = session.scalar(select(func.count()).where(of_all)) or 0
    readers = campaign.canary.order.readers_of(audience)
    rank = _rank(campaign)
    last = select(rank).where(of_all).order_by(rank).offset(max(readers - 1, 0)).limit(1)
    return Sample(session.scalar(last) or 0, readers, audience)


def in_sample(campaign: Campaign) -> ColumnElement[bool]:
    """Condition: this subscription's reader goes first."""
    canary = campaign.canary
    assert canary is not None, "it has a canary"
    assert canary.bound is not None, "its sample is chosen before anybody is planned"
    return _rank(campaign) <= canary.bound


def has_untried(session: Session, campaign: Campaign) -> bool:
    """Say whether a reader of the sample still waits for the first try.

    A relay that is down charges no reader an attempt, so that its sample waits for it.
    """
    untried = exists().where(
        delivery.c.campaign_id == campaign.id,
        delivery.c.settled_at.is_(None),
        delivery.c.attempts == 0,
    )
    return bool(session.scalar(select(untried)))


def sample_outcome(session: Session, campaign: Campaign) -> SampleOutcome:
    """Return what became of the sample so far; of what was tried, all that is open is deferred."""
    state = delivery.c.state
    came_back = exists().where(Feedback.delivery_id == delivery.c.id, Feedback.kind.in_(_CAME_BACK))
    numbers = (
        _number(state.not_in([each.value for each in NEVER_HANDED_OVER])),
        _number(or_(state == _S.FAILED.value, came_back)),
        _number(delivery.c.settled_at.is_(None)),
        _number(state == _S.UNCERTAIN.value),
    )
    return SampleOutcome(*session.execute(select(*numbers).where(of_campaign(campaign))).one())


def _rank(campaign: Campaign) -> ColumnElement[int]:
    """Return a reader's place in an order that mixes the audience, the same on both databases."""
    reader = cast(Subscription.subscriber_id, BigInteger)
    turn = campaign.id * _CAMPAIGNS_APART % _PRIME
    return (reader % _number_of(_PRIME) * _number_of(_STEP) + _number_of(turn)) % _number_of(_PRIME)


def _number_of(value: int) -> ColumnElement[int]:
    return literal(value, BigInteger)


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0).cast(Integer)
