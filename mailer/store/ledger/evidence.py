"""Settling what nobody knew by evidence: a relay's log, or a worker that tells it late."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from sqlalchemy import BigInteger, Integer, Text, Update, case, func, literal, null, select, update
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.domain.evidence import Doubt, Known
from mailer.store.clock import DatabaseTime
from mailer.store.ledger.exchange import Settlement
from mailer.store.ledger.requeue import of_campaign
from mailer.store.models import Campaign, attempt, delivery
from mailer.store.once import insert_into
from mailer.store.rowset import Rowset

_S = DeliveryState
BY_LOG = "log"
"""The stage of what a relay's log has proved."""


class Proof(NamedTuple):
    """What is proved of one uncertain delivery: it goes to `state`, and `words` say why."""

    id: int
    period: int
    fence: int
    state: DeliveryState
    relay_queue_id: str | None
    stage: str
    words: str
    relay: str = ""


_PROOFS = Rowset(
    "proofs",
    {
        "id": BigInteger(),
        "period": Integer(),
        "fence": Integer(),
        "state": Text(),
        "relay_queue_id": Text(),
        "stage": Text(),
        "words": Text(),
        "relay": Text(),
    },
)


def doubts(session: Session, campaign: Campaign) -> list[Doubt]:
    """Return the campaign's deliveries that nobody knows the fate of, each with its time.

    They can have been tried from their planning to the moment at which they became uncertain.
    """
    rows = session.execute(
        select(
            delivery.c.id, delivery.c.period, delivery.c.fence,
            delivery.c.created_at, delivery.c.settled_at,
        )
        .where(of_campaign(campaign), delivery.c.state == _S.UNCERTAIN.value)
        .order_by(delivery.c.id)
    )  # fmt: skip
    return [Doubt(*row) for row in rows]


def find_doubt(session: Session, told: Settlement) -> tuple[int | None] | None:
    """Return the campaign of a delivery that is uncertain under this very fence; None: it is not.

    (A delivery may belong to no campaign.)
    """
    row = session.execute(
        select(delivery.c.campaign_id).where(
            delivery.c.id == told.id,
            delivery.c.period == told.period,
            delivery.c.fence == told.fence,
            delivery.c.state == _S.UNCERTAIN.value,
        )
    ).first()
    return (row.campaign_id,) if row else None


def surely_sent(session: Session, campaign: Campaign, *, most: int) -> dict[int, Known]:
    """Return mails of the campaign that the relay itself said it took: evenly, `most` of them."""
    by_the_relay = (
        of_campaign(campaign),
        delivery.c.state == _S.SENT.value,
        delivery.c.relay_queue_id.is_not(None),
        ~select(literal(1))
        .where(
            attempt.c.period == delivery.c.period,
            attempt.c.delivery_id == delivery.c.id,
            attempt.c.stage == BY_LOG,
        )
        .exists(),
    )
    number = session.scalar(select(func.count()).select_from(delivery).where(*by_the_relay)) or 0
    every = max(-(-number // most), 1)
    rows = session.execute(
        select(delivery.c.id, delivery.c.relay_queue_id, delivery.c.settled_at)
        .where(*by_the_relay, delivery.c.id % every == 0)
        .order_by(delivery.c.id)
    )
    return {row.id: Known(row.relay_queue_id, row.settled_at) for row in rows}


def settle_by_evidence(session: Session, proofs: Sequence[Proof]) -> list[int]:
    """Settle what is still uncertain under the fence that was read; return the ids.

    The proof takes a fence of its own and stands among the attempts, so that nothing that a worker
    still tells under the old one changes the row.
    """
    if not proofs:
        return []
    connection = session.connection()
    statement = _settle(connection.dialect.name)
    rows = connection.execute(statement, _PROOFS.parameters(proofs)).all()
    settled = {row.id: row.settled_now for row in rows}
    noted = [
        {
            "period": each.period, "delivery_id": each.id, "fence": each.fence + 1,
            "at": settled[each.id], "relay": each.relay, "outcome": each.state.value,
            "stage": each.stage, "reply": each.words,
        }
        for each in proofs
        if each.id in settled
    ]  # fmt: skip
    if noted:
        connection.execute(insert_into(session, attempt).on_conflict_do_nothing(), noted)
    return sorted(settled)


@cache
def _settle(dialect: str) -> Update:
    proofs = _PROOFS.table(dialect)
    again = proofs.c.state == _S.QUEUED.value
    now = DatabaseTime()
    return (
        update(delivery)
        .where(
            delivery.c.id == proofs.c.id,
            delivery.c.period == proofs.c.period,
            delivery.c.fence == proofs.c.fence,
            delivery.c.state == _S.UNCERTAIN.value,
        )
        .values(
            state=proofs.c.state,
            fence=delivery.c.fence + 1,
            last_reply=proofs.c.words,
            relay_queue_id=func.coalesce(proofs.c.relay_queue_id, delivery.c.relay_queue_id),
            next_at=case((again, now), else_=delivery.c.next_at),
            settled_at=case((again, null()), else_=now),
            lease_until=None,
            leased_by=None,
        )
        .returning(delivery.c.id, now.label("settled_now"))
    )
