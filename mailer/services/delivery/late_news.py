"""What a worker says of a delivery that was given up as uncertain in the meantime.

That the relay took it is settled where everything is (`store/ledger/exchange.py`). That it was not
accepted opens the delivery again, and so concerns its campaign, which may have ended.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.services.campaigns.course import reopen
from mailer.store.ledger import Proof, Settlement, find_doubt, settle_by_evidence
from mailer.store.models import Campaign


def take_back(session: Session, told: Settlement) -> bool:
    """Queue a delivery again that is uncertain and, as its own worker says, was not accepted.

    Only under the worker's own fence: nobody else has had it since. A finished campaign goes on
    with it until its time is over; in one that was cancelled or has expired it is closed like what
    was never tried. The campaign is held first, so that it cannot end in between.
    """
    found = find_doubt(session, told)
    if found is None:
        return False
    (campaign_id,) = found
    campaign = session.get(Campaign, campaign_id, with_for_update=True) if campaign_id else None
    proof = Proof(
        told.id, told.period, told.fence, DeliveryState.QUEUED,
        None, told.stage, told.reply, told.relay,
    )  # fmt: skip
    if not settle_by_evidence(session, [proof]):
        return False
    if campaign is not None:
        reopen(session, campaign)
    return True
