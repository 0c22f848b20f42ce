"""The gate before sending: a mail with errors does not go unless a person says so.

Where a person is there, the gate asks everybody who can be asked (`let_pass`). A worker that
prepares a campaign has nobody to tell: it looks at the content alone, all its variants, and where
that has errors the campaign is paused before its first mail (`refuse_faulty`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mailer.checking.content import content_findings
from mailer.checking.findings import Finding, errors
from mailer.domain.campaigns import CampaignState
from mailer.domain.errors import Refusal
from mailer.services.campaigns.checking import Report, mails_of
from mailer.services.campaigns.course import pause_campaign
from mailer.services.campaigns.outcome import tell_digest
from mailer.services.mails.renderer import Renderer
from mailer.store.engine import Sessions, reading
from mailer.store.models import Campaign, Digest, Variant

_NAMED = 3


class CheckFailed(Refusal):
    """The mail has errors; the message names the first of them."""


def is_to_be_checked(campaign: Campaign) -> bool:
    """Say whether what it holds has not begun to go, so that it can still be kept from it."""
    before = (CampaignState.DRAFT, CampaignState.SCHEDULED)
    held = (
        campaign.state == CampaignState.PAUSED and campaign.resume_state == CampaignState.PREPARING
    )
    return campaign.checked_at is None and (campaign.state in before or held)


def refuse_errors(report: Report) -> None:
    """Raise CheckFailed where the report has errors."""
    if report.errors:
        raise CheckFailed(
            f"{_sentence(report.errors)} See `mailer campaign check {report.campaign_id}`; "
            "add --force to send anyway."
        )


def waive(campaign: Campaign, forced: Sequence[str], *, now: datetime) -> None:
    """Let the campaign go in spite of the errors that somebody forced; a worker holds it not."""
    if forced:
        campaign.checked_at = now


def refuse_faulty(
    sessions: Sessions, campaign_id: int, *, renderer: Renderer, now: datetime
) -> None:
    """Look at the content of what is compiled, once; raises CheckFailed.

    Nobody is asked: whether a host answers just now must not decide whether a digest goes, and a
    worker that is killed does this again.
    """
    with reading(sessions) as session:
        campaign = session.get_one(Campaign, campaign_id)
        if campaign.checked_at is not None:
            return
        version = campaign.version
        mails = mails_of(session, campaign, renderer, now=now)
    found = errors(content_findings(mails))
    if found:
        raise CheckFailed(
            f"{_sentence(found)} See `mailer campaign check {campaign_id}`; "
            f"`mailer campaign resume {campaign_id} --force` sends it anyway."
        )
    with sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id, with_for_update=True)
        if campaign.version == version:  # or it is looked at again
            campaign.checked_at = now


def faults(session: Session, campaign: Campaign, *, renderer: Renderer, now: datetime) -> str:
    """Return for what a worker would hold the campaign, or an empty text; changes nothing.

    For who decides about it where no command line is. Compiles it.
    """
    try:
        found = errors(content_findings(mails_of(session, campaign, renderer, now=now)))
    except Refusal as refusal:
        return str(refusal)
    return f"{_sentence(found)} See `mailer campaign check {campaign.id}`." if found else ""


def hold(session: Session, campaign: Campaign, reason: str) -> None:
    """Pause a campaign whose content has not begun to go; what is compiled of it goes, so that a
    mended template counts."""
    pause_campaign(session, campaign, reason=reason)
    session.execute(
        delete(Variant).where(
            Variant.campaign_id == campaign.id, Variant.version == campaign.version
        )
    )
    tell_digest(session, campaign, f" is held: {reason}")


def no_longer_held(session: Session, campaign: Campaign) -> None:
    """Have its digest say no more that it is held: somebody resumed it, or ended it."""
    digest = session.get(Digest, campaign.digest_id) if campaign.digest_id else None
    if digest is not None and digest.last_outcome.startswith(f"campaign {campaign.id} is held"):
        digest.last_outcome = f"campaign {campaign.id}"


def held_campaigns(session: Session) -> list[tuple[int, str]]:
    """Return the campaigns that were paused before their first mail, and why."""
    rows = session.execute(
        select(Campaign.id, Campaign.paused_reason)
        .where(
            Campaign.state == CampaignState.PAUSED.value,
            Campaign.resume_state == CampaignState.PREPARING.value,
            Campaign.checked_at.is_(None),
        )
        .order_by(Campaign.id)
    )
    return [(number, reason) for number, reason in rows]


def _sentence(found: Sequence[Finding]) -> str:
    """Return how many errors there are, and the first ones."""
    named = " ".join(f"{each.check}: {each.what}" for each in found[:_NAMED])
    more = f" And {len(found) - _NAMED} more." if len(found) > _NAMED else ""
    number = "an error" if len(found) == 1 else f"{len(found)} errors"
    return f"The check found {number}. {named}{more}"
