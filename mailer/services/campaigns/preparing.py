"""Preparing a campaign: compile its variants, queue the copies for seed addresses, then plan its
deliveries, chunk by chunk.

One with a canary is prepared twice: for its sample, and for the rest when that is released. One
that is corrected while it is sent is prepared once more, and nobody is added then.

Every step can be killed: each variant is kept once, the sample is chosen once, a chunk and the
cursor are one transaction, and the last step is a compare-and-set. Two workers at once do each
other's work no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.errors import Refusal
from mailer.services.campaigns.course import move, pause_campaign
from mailer.services.campaigns.gate import CheckFailed, hold, refuse_faulty
from mailer.services.campaigns.seeds import copy_to_seeds
from mailer.services.mails.renderer import Renderer
from mailer.services.mails.variants import ContentReplaced, VariantMaker
from mailer.store.engine import Sessions, reading
from mailer.store.halting import halted_reason
from mailer.store.ledger import choose_sample, plan_chunk
from mailer.store.models import Campaign, WantedVariant


class CannotPrepare(Refusal):
    """The campaign cannot be compiled; it is paused, and says why."""


CHUNK = 2_000
"""Readers per planning transaction: well under 50 ms on SQLite, so that others get their turn."""


def waiting_campaigns(session: Session) -> list[int]:
    """Return the campaigns that wait to be prepared, or to be compiled for more readers."""
    wanted = select(WantedVariant.campaign_id).where(WantedVariant.problem == "")
    return list(
        session.scalars(
            select(Campaign.id)
            .where(or_(Campaign.state == CampaignState.PREPARING.value, Campaign.id.in_(wanted)))
            .order_by(Campaign.lane, Campaign.id)
        )
    )


def prepare_campaign(
    sessions: Sessions,
    campaign_id: int,
    *,
    renderer: Renderer,
    now: Callable[[], datetime],
    pause: Callable[[], None],
    chunk: int = CHUNK,
) -> int:
    """Compile and plan the campaign until it sends; return how many deliveries were added.

    Of one that sends already, what its readers want in addition is compiled. `pause` is called
    between chunks. A template that cannot be rendered pauses the campaign, which says why; nobody
    gets half of it; and so does a mail in which the check finds errors. Raises CannotPrepare then.
    """
    maker = VariantMaker(sessions, campaign_id, renderer, now)
    try:
        with reading(sessions) as session:
            campaign = session.get(Campaign, campaign_id)
            due = campaign is not None and _is_due(session, campaign)
        if not due:
            maker.compile_wanted()
            return 0
        maker.compile_ahead(pause)
        refuse_faulty(sessions, campaign_id, renderer=renderer, now=now())
    except ContentReplaced:
        return 0  # whoever corrected it has rung, and so does the next tick
    except SQLAlchemyError:
        raise  # the database's trouble, not the campaign's: the next tick tries again
    except CheckFailed as failed:
        _pause(sessions, campaign_id, maker.version, str(failed), hold)
        raise CannotPrepare(f"Campaign {campaign_id} is held. {failed}") from failed
    except Exception as error:
        reason = str(error) if isinstance(error, Refusal) else f"it cannot be compiled: {error!r}"
        _pause(sessions, campaign_id, maker.version, reason, _let_rest)
        raise CannotPrepare(f"Campaign {campaign_id} is paused: {reason}") from error
    copy_to_seeds(sessions, campaign_id, renderer=renderer, now=now())
    _choose_sample(sessions, campaign_id, now)
    added = 0
    while True:
        with sessions.begin() as session:
            planned = _plan_next(session, campaign_id, maker.version, chunk, now())
        if planned is None:
            return added
        added += planned
        pause()


def _choose_sample(sessions: Sessions, campaign_id: int, now: Callable[[], datetime]) -> None:
    """Fix who goes first, where a canary is ordered: once, so that no chunk sees another sample.

    Where that is the whole audience, nobody is left to be held back.
    """
    with reading(sessions) as session:  # of a large audience it takes long, and must stop nobody
        campaign = session.get_one(Campaign, campaign_id)
        if campaign.canary is None or campaign.canary.bound is not None:
            return
        sample = choose_sample(session, campaign)
    with sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id, with_for_update=True)
        canary = campaign.canary
        if canary is None or canary.bound is not None:
            return
        canary.bound, canary.readers, canary.audience = (
            sample.bound, sample.readers, sample.audience,
        )  # fmt: skip
        if sample.readers == sample.audience:
            canary.released_at = now()


def _plan_next(
    session: Session, campaign_id: int, version: int, chunk: int, now: datetime
) -> int | None:
    """Plan one chunk; None when the campaign needs no more planning, or has other content now."""
    campaign = session.get(Campaign, campaign_id, with_for_update=True)
    if campaign is None or campaign.version != version or not _is_due(session, campaign):
        return None
    assert campaign.ends_at is not None, "it has been started"
    planned = plan_chunk(session, campaign, limit=chunk, now=now, expires_at=campaign.ends_at)
    if planned.finished:
        move(session, campaign, CampaignState.SENDING)
    return planned.added


def _is_due(session: Session, campaign: Campaign) -> bool:
    return campaign.state == CampaignState.PREPARING and halted_reason(session) is None


def _pause(
    sessions: Sessions,
    campaign_id: int,
    version: int,
    reason: str,
    how: Callable[[Session, Campaign, str], None],
) -> None:
    with sessions.begin() as session:
        campaign = session.get(Campaign, campaign_id, with_for_update=True)
        if campaign is None or campaign.version != version:
            return  # corrected meanwhile: the reason is that of before
        if campaign.state == CampaignState.PREPARING:
            how(session, campaign, reason)


def _let_rest(session: Session, campaign: Campaign, reason: str) -> None:
    pause_campaign(session, campaign, reason=reason)
