"""Correcting: what workers have in hand is taken back, and who got which version is counted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, Integer, func, select, tuple_, update
from sqlalchemy.orm import Session

from mailer.domain.deliveries import MAY_HAVE_ARRIVED, DeliveryState
from mailer.store.ledger.requeue import of_campaign
from mailer.store.models import Campaign, Variant, delivery
from mailer.store.rowset import Rowset

_S = DeliveryState
_KEYS = Rowset("keys", {"period": Integer(), "id": BigInteger()})
_TRIED = [state.value for state in MAY_HAVE_ARRIVED | {_S.FAILED}]

Key = tuple[int, int]
"""A delivery's period and id."""


def in_hand(session: Session, campaign: Campaign) -> list[Key]:
    """Return the campaign's deliveries that workers hold, past the gate or not.

    The look walks over all that is open, a second for a million: for a session that only reads.
    """
    found = select(delivery.c.period, delivery.c.id).where(
        delivery.c.campaign_id == campaign.id,
        delivery.c.settled_at.is_(None),
        delivery.c.state.in_([_S.LEASED.value, _S.SENDING.value]),
    )
    return [(row.period, row.id) for row in session.execute(found)]


def recall(session: Session, keys: Sequence[Key]) -> list[Key]:
    """Put those that are not past the gate back into the queue; return which.

    The fence rises, so that whoever holds them cannot open the gate any more. A gate that is being
    opened at this moment is waited for, and then it was the first.
    """
    wanted = _KEYS.table(session.get_bind().dialect.name)
    key = tuple_(delivery.c.period, delivery.c.id)
    leased = (
        select(delivery.c.period, delivery.c.id)
        .where(
            key.in_(select(wanted.c.period, wanted.c.id)), delivery.c.state == _S.LEASED.value
        )
        .order_by(delivery.c.id)  # as the ledger's rounds lock them: or there is a deadlock
        .with_for_update()
    )  # fmt: skip
    held = [(row.period, row.id) for row in session.execute(leased, _KEYS.parameters(keys))]
    if held:
        session.connection().execute(
            update(delivery)
            .where(
                key.in_(select(wanted.c.period, wanted.c.id)), delivery.c.state == _S.LEASED.value
            )
            .values(
                state=_S.QUEUED.value, fence=delivery.c.fence + 1, lease_until=None, leased_by=None
            ),
            _KEYS.parameters(held),
        )  # fmt: skip
    return held


def still_past_gate(session: Session, keys: Sequence[Key]) -> list[Key]:
    """Return those of the deliveries that are past the gate and not settled."""
    wanted = _KEYS.table(session.get_bind().dialect.name)
    key = tuple_(delivery.c.period, delivery.c.id)
    found = select(delivery.c.period, delivery.c.id).where(
        key.in_(select(wanted.c.period, wanted.c.id)), delivery.c.state == _S.SENDING.value
    )
    return [(row.period, row.id) for row in session.execute(found, _KEYS.parameters(keys))]


def counts_by_version(session: Session, campaign: Campaign) -> dict[int, dict[str, int]]:
    """Return, by version of the content, how many of its mails were tried, and what became of them.

    What nobody knows the variant of, in a restored backup, may be of any version: it counts as of
    the first.
    """
    version = func.coalesce(Variant.version, 1)
    rows = session.execute(
        select(version, delivery.c.state, func.count())
        .outerjoin(Variant, Variant.id == delivery.c.variant_id)
        .where(of_campaign(campaign), delivery.c.state.in_(_TRIED))
        .group_by(version, delivery.c.state)
        .order_by(version)
    )
    found: dict[int, dict[str, int]] = {}
    for number, state, count in rows:
        found.setdefault(number, dict.fromkeys(sorted(_TRIED), 0))[state] = count
    return found
