"""An editor's word before a digest goes: asked by mail, given by a button or on the command line.

A campaign that waits is a draft that cannot be started. Silence is a no: when the time is over, the
campaign has expired, and its articles are free for the next run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.addresses import parse_address, receiving_provider
from mailer.domain.approvals import Verdict
from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryKind
from mailer.domain.errors import Refusal
from mailer.domain.tokens import TokenKind, TokenSigner
from mailer.services.campaigns.course import (
    CannotCampaign,
    cancel_campaign,
    close_question,
    move,
    start_campaign,
)
from mailer.services.campaigns.outcome import tell_digest
from mailer.services.mails.renderer import Renderer
from mailer.store.actions import note_action
from mailer.store.engine import Sessions, reading
from mailer.store.ledger import queue_mail
from mailer.store.models import Approval, Campaign, Digest
from mailer.store.suppressions import standing

EDITOR = "editor"
"""Who acts, in the audit trail, where it is whoever was asked by mail."""

CLOCK = "time"
"""Who acts where nobody did."""

_VERBS = {
    Verdict.APPROVED: "campaign approve",
    Verdict.STOPPED: "campaign cancel",
    Verdict.SILENCE: "campaign cancel",
}


@dataclass(frozen=True, slots=True)
class ApprovalPage:
    """What the page behind the mail's buttons shows."""

    campaign: Campaign
    approval: Approval
    is_open: bool
    ran_out: bool
    refused: str = ""
    """Why an approval could not be taken just now; the question is still open."""


def ask_for_approval(campaign: Campaign, digest: Digest, *, now: datetime) -> None:
    """Let a draft wait for the word of the digest's editor; the mail that asks follows."""
    campaign.approval = Approval(
        recipient=digest.approve_by,
        recipient_hash=digest.approve_hash,
        until=(now + timedelta(seconds=digest.approve_seconds)).replace(microsecond=0),
        decision=Verdict.OPEN.value,
    )


def ask_editors(sessions: Sessions, *, renderer: Renderer, now: datetime) -> int:
    """Mail every finished digest that waits to its editor, once; return how many mails there are.

    Compiling takes longer than a writer may hold up others, so that it is done before writing.
    """
    with reading(sessions) as session:
        unasked = select(Approval.campaign_id).where(
            Approval.asked_at.is_(None),
            Approval.decision == Verdict.OPEN.value,
            Approval.until > now,
        )
        waiting = list(session.scalars(unasked))
    return sum(_ask(sessions, campaign_id, renderer, now) for campaign_id in waiting)


def open_approval(
    session: Session, signer: TokenSigner, text: str, *, now: datetime
) -> ApprovalPage | None:
    """Return what the buttons would decide; changes nothing. None: not a link of ours."""
    token = signer.read(text, TokenKind.APPROVAL)
    campaign = session.get(Campaign, token.subscriber_id) if token else None
    approval = campaign.approval if campaign else None
    if token is None or campaign is None or approval is None:
        return None
    if token.newsletter_id != campaign.newsletter_id or token.serial != _seconds(approval.until):
        return None
    is_open = approval.decision == Verdict.OPEN.value
    ran_out = now >= approval.until
    return ApprovalPage(campaign, approval, is_open and not ran_out, is_open and ran_out)


def decide_by_mail(
    session: Session, signer: TokenSigner, text: str, decision: Verdict, *, now: datetime
) -> ApprovalPage | None:
    """Take the editor's word; the first one stands. None: not a link of ours."""
    found = open_approval(session, signer, text, now=now)
    if found is None:
        return None
    session.refresh(found.campaign, with_for_update=True)
    session.refresh(found.approval)
    found = open_approval(session, signer, text, now=now)
    if found is None or not found.is_open:
        return found
    refused = ""
    try:
        with session.begin_nested():
            _decide(session, found.campaign, decision, EDITOR, now)
    except Refusal as refusal:
        session.refresh(found.campaign)
        session.refresh(found.approval)
        refused = str(refusal)
    is_open = found.approval.decision == Verdict.OPEN.value
    return ApprovalPage(found.campaign, found.approval, is_open, False, refused)


def approve_by_hand(
    session: Session,
    campaign: Campaign,
    operator: str,
    *,
    forced: Sequence[str] = (),
    now: datetime,
) -> None:
    """Let a campaign go on the operator's word; raises CannotCampaign where none is asked for.

    `forced`: the errors of its check that they let pass.
    """
    session.refresh(campaign, with_for_update=True)
    approval = campaign.approval
    if approval is None or approval.decision != Verdict.OPEN.value:
        raise CannotCampaign(
            f"Campaign {campaign.id} waits for nobody's word: see "
            f"`mailer campaign show {campaign.id}`."
        )
    if now >= approval.until:
        raise CannotCampaign(
            f"Nobody approved campaign {campaign.id} until {approval.until:%Y-%m-%d %H:%M} UTC: "
            "run the digest again."
        )
    _decide(session, campaign, Verdict.APPROVED, operator, now, forced)


def expire_approvals(sessions: Sessions, *, now: datetime) -> int:
    """End every campaign that nobody approved in time; return how many."""
    with reading(sessions) as session:
        late = select(Approval.campaign_id).where(
            Approval.decision == Verdict.OPEN.value, Approval.until <= now
        )
        waiting = list(session.scalars(late))
    ended = 0
    for campaign_id in waiting:
        with sessions.begin() as session:
            campaign = session.get(Campaign, campaign_id, with_for_update=True)
            approval = campaign.approval if campaign else None
            if campaign is None or approval is None or approval.decision != Verdict.OPEN.value:
                continue
            _decide(session, campaign, Verdict.SILENCE, CLOCK, now)
            ended += 1
    return ended


def _ask(sessions: Sessions, campaign_id: int, renderer: Renderer, now: datetime) -> bool:
    with reading(sessions) as session:
        campaign = session.get_one(Campaign, campaign_id)
        approval = campaign.approval
        if approval is None or not approval.recipient:
            return False  # whoever was to be asked is forgotten: `mailer campaign approve`
        compiled = renderer.approval_message(
            session, campaign, until=approval.until, serial=_seconds(approval.until)
        )
    with sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id, with_for_update=True)
        approval = campaign.approval
        if approval is None or approval.asked_at or approval.decision or not approval.recipient:
            return False
        approval.asked_at = now
        if standing(session, approval.recipient_hash, campaign.newsletter.slug):
            tell_digest(session, campaign, ": its editor's address is suppressed")
            return False
        queue_mail(
            session,
            kind=DeliveryKind.TEST,
            newsletter_id=campaign.newsletter_id,
            variant_id=renderer.store_test_variant(session, campaign, compiled, now=now),
            provider=receiving_provider(parse_address(approval.recipient)),
            recipient=approval.recipient,
            recipient_hash=approval.recipient_hash,
            now=now,
            expires_at=approval.until,
        )
    return True


def _decide(
    session: Session,
    campaign: Campaign,
    decision: Verdict,
    operator: str,
    now: datetime,
    forced: Sequence[str] = (),
) -> None:
    """Take the decision, do what follows from it, and write both into the audit trail."""
    assert campaign.approval is not None, "its approval was asked for"
    hashed = campaign.approval.recipient_hash
    close_question(campaign, decision, now=now)
    session.flush()
    match decision:
        case Verdict.APPROVED:
            start_campaign(session, campaign, now=now)
            tell_digest(session, campaign, ": approved")
        case Verdict.STOPPED:
            cancel_campaign(session, campaign, now=now)
            tell_digest(session, campaign, ": stopped by its editor")
        case _:
            move(session, campaign, CampaignState.EXPIRED)
            campaign.finished_at = now
            tell_digest(session, campaign, ": nobody approved it in time")
    note_action(
        session, operator, _VERBS[decision], now=now,
        details={
            "campaign": campaign.id, "decision": decision.value, "address_hash": hashed,
            **({"forced": list(forced)} if forced else {}),
        },
    )  # fmt: skip


def _seconds(moment: datetime) -> int:
    """Return a moment as it stands in a link, in seconds since 1970."""
    return int(moment.astimezone(UTC).timestamp())
