"""What a person decides about a campaign's deliveries: try again, send again, take as sent.

In batches, so that a million of them hold up nobody else who wants to write. What is concerned is
listed before the first batch, and each delivery is decided once: one that fails again meanwhile is
left alone. Whatever a crash leaves undone is done when the order is given again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.services.campaigns.course import give_another_day, lock_for_more, reopen
from mailer.store.batches import Batches
from mailer.store.engine import Sessions, reading
from mailer.store.ledger import in_state, presume_sent, requeue
from mailer.store.models import Campaign


class Decision(StrEnum):
    """What is to become of which deliveries."""

    RETRY = "retry"  # of what has failed
    RESEND = "resend"  # of what nobody knows
    SENT = "sent"  # as which is taken what nobody knows

    @property
    def concerns(self) -> DeliveryState:
        """The state of the deliveries that are decided."""
        return DeliveryState.FAILED if self is Decision.RETRY else DeliveryState.UNCERTAIN


def decide(
    sessions: Sessions,
    campaign_id: int,
    decision: Decision,
    *,
    now: Callable[[], datetime],
    pause: Callable[[], None],
    note: Callable[[Session, int], None] = lambda *_: None,
    batches: Batches | None = None,
) -> int:
    """Decide all that there is to decide; return for how many.

    `pause` is called between batches; `note`, in the first of them, is given the number of all.
    """
    with reading(sessions) as session:
        campaign = session.get_one(Campaign, campaign_id)
        ids = in_state(session, campaign, decision.concerns)
    batches = batches or Batches(200, least=20, most=2_000)
    begin = decided = 0
    while True:
        some = ids[begin : begin + batches.size]
        with batches.transaction(sessions) as session:
            campaign = session.get_one(Campaign, campaign_id)
            decided += decide_some(session, campaign, decision, some, now=now())
            if begin == 0:
                note(session, len(ids))
        begin += len(some)
        if begin >= len(ids):
            return decided
        pause()


def decide_some(
    session: Session,
    campaign: Campaign,
    decision: Decision,
    ids: Sequence[int],
    *,
    now: datetime,
) -> int:
    """Decide these deliveries of the campaign, where nothing has become of them since.

    What goes again is given another day; consent is asked again at the gate, and the fence rises.
    """
    if decision is Decision.SENT:
        return presume_sent(session, campaign, ids, now=now)
    lock_for_more(session, campaign)
    number = requeue(session, campaign, ids, decision.concerns, now=now)
    if number:
        reopen(session, campaign)
        give_another_day(campaign, now=now)
    return number
