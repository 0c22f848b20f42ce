"""A campaign's course: the orders that an operator, the clock or a relay gives it.

`move` is the only function that changes a campaign's state.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from mailer.domain.approvals import Verdict
from mailer.domain.campaigns import CampaignState, may_follow
from mailer.domain.canary import CanaryOrder
from mailer.domain.deliveries import DeliveryKind, DeliveryState, Lane
from mailer.domain.errors import Refusal
from mailer.domain.retry import lifetime
from mailer.services.newsletters.topics import topics_now
from mailer.store.engine import Sessions
from mailer.store.halting import refuse_while_halted
from mailer.store.ledger import (
    close_campaign,
    count_open,
    has_open,
)
from mailer.store.ledger.plan import period_of
from mailer.store.models import Campaign, Canary, Newsletter, Subscriber

_S = CampaignState
_ANOTHER_DAY = timedelta(days=1)
_LAST_ZONE = timedelta(hours=12)
"""The last of all zones is so far behind UTC."""
_ENDS_OF_LATE = timedelta(days=7)
"""How long after a campaign's end its last rows are looked for."""


class CannotCampaign(Refusal):
    """The campaign cannot be made, or cannot do what was asked; the message says why."""


def move(session: Session, campaign: Campaign, after: CampaignState) -> None:
    """Take the step if the table allows it and nobody else has taken one since; else refuse."""
    before = CampaignState(campaign.state)
    moved = (
        may_follow(before, after)
        and session.execute(
            update(Campaign)
            .where(Campaign.id == campaign.id, Campaign.state == before.value)
            .values(state=after.value)
            .returning(Campaign.id)
        ).first()
    )
    if not moved:
        session.refresh(campaign, ["state"])
        raise CannotCampaign(
            f"Campaign {campaign.id} is {campaign.state} and cannot become {after.value}: "
            f"see `mailer campaign show {campaign.id}`."
        )
    session.refresh(campaign, ["state"])


def start_campaign(
    session: Session,
    campaign: Campaign,
    *,
    over: timedelta = timedelta(),
    in_own_time: bool = True,
    canary: CanaryOrder | None = None,
    now: datetime,
) -> None:
    """Freeze the audience and let the workers begin; a second order changes nothing.

    `over` spreads the mails evenly over a time, to spare the newsroom's own site. Without
    `in_own_time` they go now, also of a campaign that was to follow its readers' clocks. With a
    `canary`, a sample of the audience goes first; one ordered with the schedule stands.
    """
    if campaign.state in (_S.PREPARING, _S.SENDING):
        return
    refuse_to_start(session, campaign, now=now)
    campaign.spread_seconds = round(over.total_seconds())
    if not in_own_time:
        campaign.local_at = None
    scheduled = campaign.canary.order if campaign.canary else None
    _let_sample_go_first(campaign, canary or scheduled, now)
    move(session, campaign, _S.PREPARING)
    campaign.upper_subscriber_id = session.scalar(select(func.max(Subscriber.id))) or 0
    campaign.cursor_subscriber_id = 0
    campaign.started_at = now
    campaign.ends_at = _end(campaign, now)
    campaign.period = period_of(now)
    topics = topics_now(session, campaign.newsletter)
    campaign.content = {**campaign.content, "topics": topics}


def refuse_to_start(session: Session, campaign: Campaign, *, now: datetime) -> None:
    """Raise Refusal for what keeps the campaign from starting; what it says is another matter."""
    refuse_while_halted(session)
    _refuse_begun(campaign)
    _refuse_unapproved(campaign)
    if campaign.expires_at is not None and campaign.expires_at <= now:
        raise CannotCampaign(
            f"Campaign {campaign.id} was not to be sent after {campaign.expires_at:%Y-%m-%d %H:%M} "
            "UTC: make a new one."
        )
    _refuse_without_address(campaign.newsletter)


def schedule_campaign(
    session: Session,
    campaign: Campaign,
    at: datetime,
    *,
    local_at: datetime | None = None,
    canary: CanaryOrder | None = None,
    now: datetime,
) -> None:
    """Let the campaign start by itself at the time given, with a `canary` as when it is started.

    With `local_at` (without a zone) every reader's mail is due when the reader's own clock shows
    that time; `at` is then when the first reader's does (`services.campaigns.own_time`).
    """
    if at <= now:
        raise CannotCampaign("That time has passed: give one that lies ahead, or send it now.")
    _refuse_begun(campaign)
    _refuse_unapproved(campaign)
    _refuse_without_address(campaign.newsletter)
    campaign.local_at = None if local_at is None else local_at.isoformat()
    _let_sample_go_first(campaign, canary, at)
    move(session, campaign, _S.SCHEDULED)
    campaign.send_at = at


def start_scheduled(sessions: Sessions, *, now: datetime) -> int:
    """Start every campaign whose time has come; return how many.

    Each in a transaction of its own: one that cannot start is paused, says why, and stops no
    other.
    """
    started = 0
    while True:
        with sessions.begin() as session:
            campaign = session.scalar(
                select(Campaign)
                .where(Campaign.state == _S.SCHEDULED.value, Campaign.send_at <= now)
                .order_by(Campaign.lane, Campaign.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if campaign is None:
                return started
            if campaign.expires_at is not None and campaign.expires_at <= now:
                move(session, campaign, _S.EXPIRED)
                continue
            try:
                start_campaign(session, campaign, now=now)
                started += 1
            except Refusal as refusal:
                pause_campaign(session, campaign, reason=str(refusal))


def pause_campaign(session: Session, campaign: Campaign, *, reason: str = "by hand") -> None:
    """Let nothing more of the campaign pass the gate."""
    before = campaign.state
    move(session, campaign, _S.PAUSED)
    campaign.resume_state = before
    campaign.paused_reason = reason


def resume_campaign(session: Session, campaign: Campaign, *, now: datetime) -> None:
    """Go on where the pause began; the time that it took is not held against the mails.

    One that is paused by its canary goes to everybody: whoever resumes it has seen why.
    """
    if campaign.state != _S.PAUSED:
        raise CannotCampaign(f"Campaign {campaign.id} is {campaign.state}, not paused.")
    refuse_while_halted(session)
    campaign.paused_reason = ""
    if campaign.canary is not None and campaign.held and campaign.canary.held_at is not None:
        release_rest(session, campaign, now=now)
        return
    if campaign.ends_at is not None:
        campaign.ends_at = _end(campaign, now)
    move(session, campaign, CampaignState(campaign.resume_state or _S.SENDING.value))


def release_rest(session: Session, campaign: Campaign, *, now: datetime) -> None:
    """Let everybody get what only the canary's sample got so far.

    Their rows are written only now, so that none has to be held back, or written twice; and so
    their time, and what the mails are spread over, begins now.
    """
    assert campaign.canary is not None, "it has a canary"
    campaign.canary.released_at = now
    campaign.cursor_subscriber_id = 0
    campaign.ends_at = _end(campaign, now)
    move(session, campaign, _S.PREPARING)


def cancel_campaign(session: Session, campaign: Campaign, *, now: datetime) -> int:
    """End the campaign; return how many mails are not sent because of it.

    No gate opens for it from this commit on. The rows of a large campaign are closed bit by bit
    afterwards (`close_ended`).
    """
    left = count_open(session, campaign)
    if campaign.canary is not None and campaign.held:
        left += (campaign.canary.audience or 0) - (campaign.canary.readers or 0)
    move(session, campaign, _S.CANCELLED)
    campaign.finished_at = now
    close_question(campaign, Verdict.STOPPED, now=now)
    session.flush()
    close_campaign(session, campaign, DeliveryState.CANCELLED, now=now)
    return left


def finish_done(session: Session, *, now: datetime) -> int:
    """End every campaign that has nothing left to do, or no time left; return how many.

    "Done" is a query, not a counter that can go wrong. One that is held by its canary is not done,
    even when its whole sample is.
    """
    ended = 0
    for campaign in session.scalars(
        select(Campaign).where(Campaign.state == _S.SENDING.value).with_for_update(skip_locked=True)
    ).all():
        late = campaign.ends_at is not None and campaign.ends_at <= now
        if campaign.held or has_open(session, campaign):
            if not late:
                continue
            close_campaign(session, campaign, DeliveryState.EXPIRED, now=now)
        move(session, campaign, _S.EXPIRED if late else _S.FINISHED)
        campaign.finished_at = now
        ended += 1
    return ended


def close_ended(session: Session, *, now: datetime) -> int:
    """Close a batch of rows that ended campaigns have left open; return how many."""
    for state, closed_as in (
        (_S.CANCELLED, DeliveryState.CANCELLED),
        (_S.EXPIRED, DeliveryState.EXPIRED),
    ):
        lately: ColumnElement[bool] = Campaign.finished_at > now - _ENDS_OF_LATE
        ended = select(Campaign).where(Campaign.state == state.value, lately)
        for campaign in session.scalars(ended).all():
            closed = close_campaign(session, campaign, closed_as, now=now)
            if closed:
                return closed
    return 0


def lock_for_more(session: Session, campaign: Campaign) -> None:
    """Hold the campaign as it is; refuse where nothing of it may be sent any more."""
    session.refresh(campaign, ["state", "ends_at"], with_for_update=True)
    refuse_ended(campaign)


def refuse_ended(campaign: Campaign) -> None:
    """Refuse to send more of a campaign that has ended before its time, or has not begun."""
    if campaign.state not in (_S.SENDING, _S.PAUSED, _S.FINISHED):
        raise CannotCampaign(
            f"Campaign {campaign.id} is {campaign.state}, so that nothing of it is sent any more: "
            "make a new one."
        )


def reopen(session: Session, campaign: Campaign) -> None:
    """Let a campaign that is held go on, for what is in the queue again."""
    if campaign.state == _S.FINISHED:
        move(session, campaign, _S.SENDING)
        campaign.finished_at = None


def close_question(campaign: Campaign, decision: Verdict, *, now: datetime) -> None:
    """Write down what was decided where an editor was asked, and forget the address."""
    approval = campaign.approval
    if approval is not None and approval.decision == Verdict.OPEN.value:
        approval.decision, approval.decided_at = decision.value, now
        approval.recipient = ""


def give_another_day(campaign: Campaign, *, now: datetime) -> None:
    """Leave time for what is in the queue again."""
    if campaign.ends_at is not None:
        campaign.ends_at = max(campaign.ends_at, now + _ANOTHER_DAY)


def _let_sample_go_first(campaign: Campaign, order: CanaryOrder | None, begin: datetime) -> None:
    """Write down the canary that was ordered; refuses a wait that the mails do not live through."""
    if order is None:
        campaign.canary = None
        return
    ends_at = _end(campaign, begin)
    if begin + order.wait >= ends_at:
        raise CannotCampaign(
            f"The canary's sample would be waited for beyond {ends_at:%Y-%m-%d %H:%M} UTC, when "
            f"campaign {campaign.id} is of no use any more: give a shorter --canary-wait."
        )
    campaign.canary = Canary(
        size=order.size,
        share=order.share,
        failed_limit=order.limit,
        wait_seconds=round(order.wait.total_seconds()),
    )


def _end(campaign: Campaign, now: datetime) -> datetime:
    """Return until when the campaign is worth sending."""
    begin = now
    if campaign.own_time is not None:
        last = campaign.own_time.replace(tzinfo=UTC) + _LAST_ZONE
        begin = max(now, last)
    ends_at = begin + lifetime(DeliveryKind.CAMPAIGN, Lane(campaign.lane))
    ends_at += timedelta(seconds=campaign.spread_seconds or 0)
    return min(ends_at, campaign.expires_at) if campaign.expires_at is not None else ends_at


def _refuse_begun(campaign: Campaign) -> None:
    """Raise where a second start would freeze a second audience, and some get it twice."""
    if campaign.state == _S.PAUSED and campaign.started_at is not None:
        raise CannotCampaign(
            f"Campaign {campaign.id} is paused and has begun: go on with "
            f"`mailer campaign resume {campaign.id}`."
        )


def _refuse_unapproved(campaign: Campaign) -> None:
    approval = campaign.approval
    if approval is not None and approval.decision == Verdict.OPEN.value:
        raise CannotCampaign(
            f"Campaign {campaign.id} waits for its editor's approval: "
            f"`mailer campaign approve {campaign.id}`, or `mailer campaign cancel {campaign.id}`."
        )


def _refuse_without_address(newsletter: Newsletter) -> None:
    if not newsletter.postal_address:
        raise CannotCampaign(
            f"Newsletter {newsletter.slug} has no postal address, which every mail must bear: "
            f"`mailer newsletter edit {newsletter.slug} --postal-address …`."
        )
