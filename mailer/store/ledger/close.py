"""Closing: what has not been given to a relay is ended in the transaction that forbids it.

The condition at the gate alone is not enough: under READ COMMITTED a gate that began before a
withdrawal's commit does not see it. Updating the same row makes one wait for the other.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, select, tuple_, update
from sqlalchemy.orm import Session

from mailer.domain.deliveries import CLOSABLE, DeliveryKind, DeliveryState
from mailer.store.models import Campaign, delivery

_CLOSABLE = [state.value for state in CLOSABLE]
_BATCH = 5_000


def close_for_purpose(
    session: Session, subscriber_id: int, purpose_ids: Collection[int], *, now: datetime
) -> int:
    """End this reader's open campaign deliveries for these purposes; return how many."""
    campaigns = select(Campaign.id).where(Campaign.purpose_id.in_(purpose_ids))
    return _close(
        session,
        DeliveryState.WITHDRAWN,
        now,
        delivery.c.subscriber_id == subscriber_id,
        delivery.c.kind == DeliveryKind.CAMPAIGN.value,
        delivery.c.campaign_id.in_(campaigns),
    )


def close_questions(session: Session, subscriber_id: int, purpose_id: int, *, now: datetime) -> int:
    """End the mails that ask this reader to renew what they have just agreed to anew."""
    asking = select(Campaign.id).where(
        Campaign.purpose_id == purpose_id, Campaign.renews_notice_id.is_not(None)
    )
    return _close(
        session,
        DeliveryState.CANCELLED,
        now,
        delivery.c.subscriber_id == subscriber_id,
        delivery.c.kind == DeliveryKind.CAMPAIGN.value,
        delivery.c.campaign_id.in_(asking),
    )


def close_confirmations(
    session: Session, subscriber_id: int, newsletter_id: int, *, now: datetime
) -> int:
    """End the mails that ask this reader to confirm what is asked for no longer."""
    return _close(
        session,
        DeliveryState.WITHDRAWN,
        now,
        delivery.c.subscriber_id == subscriber_id,
        delivery.c.newsletter_id == newsletter_id,
        delivery.c.kind == DeliveryKind.CONFIRMATION.value,
    )


def close_for_address(
    session: Session,
    address_hash: str,
    subscriber_id: int | None,
    state: DeliveryState,
    *,
    now: datetime,
    newsletter_id: int | None = None,
) -> int:
    """End all open deliveries to an address (of one newsletter), tests too; return how many."""
    conditions: list[ColumnElement[bool]] = [
        delivery.c.campaign_id.is_(None) & (delivery.c.recipient_hash == address_hash)
    ]
    if subscriber_id is not None:
        conditions.append(delivery.c.subscriber_id == subscriber_id)
    of_newsletter = (delivery.c.newsletter_id == newsletter_id,) if newsletter_id else ()
    return sum(_close(session, state, now, each, *of_newsletter) for each in conditions)


def close_for_addresses(
    session: Session,
    address_hashes: Collection[str],
    subscriber_ids: Collection[int],
    state: DeliveryState,
    *,
    now: datetime,
    newsletter_id: int | None = None,
) -> int:
    """End all open deliveries to many addresses (of one newsletter); return how many.

    The rows are locked by id first, as the ledger's rounds lock them: many rows of many readers
    in no order would be a deadlock before long.
    """
    of_newsletter = (delivery.c.newsletter_id == newsletter_id,) if newsletter_id else ()
    closed = 0
    for each in (
        delivery.c.campaign_id.is_(None) & delivery.c.recipient_hash.in_(address_hashes),
        delivery.c.subscriber_id.in_(subscriber_ids),
    ):
        open_ones = select(delivery.c.period, delivery.c.id).where(
            delivery.c.settled_at.is_(None), delivery.c.state.in_(_CLOSABLE), each, *of_newsletter
        )
        rows = session.execute(open_ones.order_by(delivery.c.id).with_for_update()).all()
        for begin in range(0, len(rows), _BATCH):
            some = rows[begin : begin + _BATCH]
            closed += _close(
                session,
                state,
                now,
                delivery.c.id.in_([row.id for row in some]),
                delivery.c.period.in_({row.period for row in some}),
            )
    return closed


def close_campaign(
    session: Session, campaign: Campaign, state: DeliveryState, *, now: datetime
) -> int:
    """End a batch of the campaign's open deliveries, as cancelled or expired; return how many.

    A batch, so that a campaign of a million holds up nobody else who wants to write.
    """
    batch = (
        select(delivery.c.period, delivery.c.id)
        .where(
            delivery.c.settled_at.is_(None),
            delivery.c.campaign_id == campaign.id,
            delivery.c.state.in_(_CLOSABLE),
        )
        .limit(_BATCH)
    )
    return _close(session, state, now, tuple_(delivery.c.period, delivery.c.id).in_(batch))


def _close(
    session: Session, state: DeliveryState, now: datetime, *conditions: ColumnElement[bool]
) -> int:
    result = session.connection().execute(
        update(delivery)
        .where(delivery.c.settled_at.is_(None), delivery.c.state.in_(_CLOSABLE), *conditions)
        .values(state=state.value, settled_at=now, lease_until=None, leased_by=None)
    )
    return result.rowcount
