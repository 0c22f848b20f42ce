"""Correcting a campaign: what has not gone goes with the new content, and nothing with the old one.

    compile the new content → replace it and stop (one commit) → take back what workers hold
    → wait for what is past its gate → the workers compile the rest and go on

From the commit on the gate opens for no mail of the old content: the campaign is not being sent,
and when it is again its content has another version. Killed before it, nothing has happened; killed
after it, the gate takes back what is left. Only a gate that was being asked at that very moment may
still open; so the rest of the way is gone to be able to say: when this returns, no mail with the
old content begins any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mailer.domain.approvals import Verdict
from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import MAY_HAVE_ARRIVED
from mailer.domain.rounds import USUAL_PACE
from mailer.rendering import CompiledMessage
from mailer.services.campaigns.course import CannotCampaign, cancel_campaign, move
from mailer.services.campaigns.new_content import Held, NewContent, content_after, held_by, hold
from mailer.services.mails.freezing import images_in
from mailer.services.mails.renderer import Renderer
from mailer.services.mails.variants import differs
from mailer.store.engine import Sessions, reading
from mailer.store.ledger import Key, counts, in_hand, recall, still_past_gate
from mailer.store.models import Campaign, DigestArticle, ReplacedContent, WantedVariant
from mailer.store.once import insert_once

_S = CampaignState
_OVER = (_S.CANCELLED, _S.EXPIRED)
ENDED = (_S.FINISHED, *_OVER)
"""The states in which no mail of a campaign goes any more."""

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a correction did."""

    version: int
    recalled: int = 0
    """Mails with the old content that workers held, and do not send any more."""
    stopped: tuple[int, ...] = ()
    """Correction mails of an earlier version that had not ended: they held what is wrong now."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A correction that is compiled, for the campaign as it was then."""

    version: int
    state: str
    started_at: datetime | None
    held: Held
    first: CompiledMessage
    personal: bool


def correct_campaign(
    sessions: Sessions,
    campaign_id: int,
    new: NewContent,
    *,
    renderer: Renderer,
    now: Callable[[], datetime],
    wait: Callable[[], None],
    note: Callable[[Session, Corrected], None] = lambda *_: None,
) -> Corrected:
    """Replace the campaign's content for all whose mail has not begun.

    `wait` is called between looks at what is past its gate, for 5 s at most: then a worker has
    begun or has hung up. `note` is called in the transaction that replaces. Raises CannotCampaign
    where nothing can be replaced, and the renderer's Refusals for what cannot be compiled; nothing
    has changed then.
    """
    done = None
    while done is None:
        trial = try_correction(sessions, campaign_id, new, renderer=renderer, now=now())
        with sessions.begin() as session:
            campaign = session.get_one(Campaign, campaign_id, with_for_update=True)
            done = _commit(session, campaign, trial, renderer, now())
            if done is not None:
                note(session, done)
    return replace(done, recalled=_recall_all(sessions, campaign_id, wait))


def try_correction(
    sessions: Sessions, campaign_id: int, new: NewContent, *, renderer: Renderer, now: datetime
) -> Trial:
    """Compile what the campaign would hold, and change nothing; raises what `correct` raises."""
    with reading(sessions) as session, session.no_autoflush:
        campaign = session.get_one(Campaign, campaign_id)
        refuse_incorrigible(session, campaign)
        now_is = campaign.version, campaign.state, campaign.started_at
        held = content_after(session, campaign, new, now=now)
        hold(campaign, held)  # in this session alone
        first = renderer.campaign_message(session, campaign)
        return Trial(*now_is, held, first, differs(session, campaign, first))


def _commit(
    session: Session, campaign: Campaign, trial: Trial, renderer: Renderer, now: datetime
) -> Corrected | None:
    """Replace and stop, in the caller's transaction; None where the campaign has begun meanwhile.

    Then its mails have more to say, and it is compiled once more.
    """
    if campaign.version != trial.version:
        raise CannotCampaign(
            f"Campaign {campaign.id} has been corrected by somebody else just now: look at it with "
            f"`mailer campaign show {campaign.id}`."
        )
    if campaign.started_at != trial.started_at:
        return None
    if campaign.state != trial.state:
        refuse_incorrigible(session, campaign)
    _replace(session, campaign, trial.held, now)
    if campaign.started_at is not None:
        if campaign.state != _S.PAUSED:  # a template that is mended before it is resumed counts
            renderer.store_campaign_variant(session, campaign, trial.first, now=now)
        campaign.personal = trial.personal
        campaign.seeded_at = None  # who looks for the house sees the new one, too
        _let_it_be_prepared(session, campaign)
    return Corrected(campaign.version, stopped=_stop_corrections(session, campaign, now))


def refuse_incorrigible(session: Session, campaign: Campaign) -> None:
    """Raise CannotCampaign where the content must stay, or nobody has it or will."""
    if campaign.renews_notice_id is not None:
        raise CannotCampaign(
            f"Campaign {campaign.id} asks readers to agree to a wording, which stands word for "
            "word: publish another with `mailer notice publish`."
        )
    approval = campaign.approval
    if approval is not None and approval.decision == Verdict.OPEN.value:
        raise CannotCampaign(
            f"Campaign {campaign.id} waits for its editor's word on what it holds now: "
            f"`mailer campaign cancel {campaign.id}`, and let its digest run again."
        )
    if campaign.state in _OVER and not _may_have_arrived(session, campaign):
        raise CannotCampaign(
            f"Campaign {campaign.id} is {campaign.state} and has reached nobody: make a new one."
        )


def _may_have_arrived(session: Session, campaign: Campaign) -> bool:
    found = counts(session, campaign)
    return any(found[state] for state in MAY_HAVE_ARRIVED)


def _replace(session: Session, campaign: Campaign, after: Held, now: datetime) -> None:
    """Let the campaign hold that; what it held is kept, and new stories count as used."""
    old = held_by(campaign)
    session.add(
        ReplacedContent(
            campaign_id=campaign.id, version=campaign.version, subject=old.subject,
            preheader=old.preheader, template=old.template, content=old.content, replaced_at=now,
        )
    )  # fmt: skip
    hold(campaign, after)
    campaign.version += 1
    campaign.checked_at = None  # whoever waived an error has not seen this
    shown = {image.sha256 for image in campaign.images}  # by mails that have gone, too
    campaign.images += [i for i in images_in(session, after.content) if i.sha256 not in shown]
    session.execute(delete(WantedVariant).where(WantedVariant.campaign_id == campaign.id))
    session.flush()
    for article in after.content.get("articles", []) if campaign.digest_id is not None else ():
        used = {"digest_id": campaign.digest_id, "article_id": article["id"]}
        insert_once(session, DigestArticle, {**used, "campaign_id": campaign.id})


def _let_it_be_prepared(session: Session, campaign: Campaign) -> None:
    """Have the workers compile it before it goes on; whom it is for stays as it was."""
    if campaign.state == _S.SENDING:
        move(session, campaign, _S.PREPARING)
    elif campaign.state == _S.PAUSED and campaign.resume_state == _S.SENDING:
        campaign.resume_state = _S.PREPARING.value


def _stop_corrections(session: Session, campaign: Campaign, now: datetime) -> tuple[int, ...]:
    """End the correction mails that hold what is wrong now; return which."""
    wrong = session.scalars(
        select(Campaign)
        .where(Campaign.corrects_id == campaign.id, Campaign.state.not_in(ENDED))
        .order_by(Campaign.id)
    ).all()
    for each in wrong:
        cancel_campaign(session, each, now=now)
    return tuple(each.id for each in wrong)


def _recall_all(sessions: Sessions, campaign_id: int, wait: Callable[[], None]) -> int:
    """Recall what workers hold, and wait for what is past its gate; return how much came back."""
    with reading(sessions) as session:
        held = in_hand(session, session.get_one(Campaign, campaign_id))
    back: set[Key] = set()
    for begin in range(0, len(held), _BATCH):
        with sessions.begin() as session:
            back.update(recall(session, held[begin : begin + _BATCH]))
        wait()
    _wait_for_the_rest(sessions, [key for key in held if key not in back], wait)
    return len(back)


def _wait_for_the_rest(sessions: Sessions, keys: Sequence[Key], wait: Callable[[], None]) -> None:
    """Wait until what is past its gate is settled, or has surely begun: a worker hangs up else."""
    deadline = time.monotonic() + USUAL_PACE.gate_to_body.total_seconds()
    while True:
        with reading(sessions) as session:
            keys = still_past_gate(session, keys)
        if not keys or time.monotonic() > deadline:
            return
        wait()
