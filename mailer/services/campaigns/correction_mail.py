"""The correction mail: the corrected content, for those who got, or may have got, the wrong one.

It is a campaign like any other: for the same purpose, and so only for who still agrees to that,
with a gate, a report, and a correction of its own if need be.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.locales import N_, translations
from mailer.services.campaigns.course import CannotCampaign
from mailer.services.campaigns.drafts import LONGEST_SUBJECT, new_draft
from mailer.services.campaigns.new_content import checked_note
from mailer.store.audience import audience_size
from mailer.store.engine import Sessions, reading
from mailer.store.models import Campaign

_S = CampaignState
_ENDED = (_S.FINISHED, _S.CANCELLED, _S.EXPIRED)
_PREHEADER = 200


def draft_correction(
    sessions: Sessions,
    campaign_id: int,
    *,
    said: str | None = None,
    now: datetime,
    note: Callable[[Session, Campaign], None] = lambda *_: None,
) -> int:
    """Make the draft of a correction mail for a campaign that has been corrected; return its id.

    `said` tells what was wrong; else it is what the campaign itself says. `note` is called in the
    transaction that keeps the draft. Raises CannotCampaign where there is nobody to tell: whoever
    was told of this version once is not told again.
    """
    with reading(sessions) as session:  # counts the audience: nobody waits for that
        campaign = session.get_one(Campaign, campaign_id)
        _refuse_another(session, campaign)
        readers = audience_size(session, _draft(campaign, said, now))
    if not readers:
        raise CannotCampaign(
            f"There is nobody to tell: no reader of campaign {campaign_id} got an earlier version "
            "and still wants such mails, or all have been told."
        )
    with sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id, with_for_update=True)
        _refuse_another(session, campaign)
        draft = _draft(campaign, said, now)
        session.add(draft)
        session.flush()
        note(session, draft)
        return draft.id


def _draft(campaign: Campaign, said: str | None, now: datetime) -> Campaign:
    correction = campaign.content.get("correction") or {}
    words = checked_note(said) or correction.get("note", "")
    at = correction.get("at") or now.isoformat()
    draft = new_draft(
        campaign.purpose,
        subject=_subject(campaign),
        template=campaign.template,
        content={**campaign.content, "correction": {"at": at, "note": words, "earlier": True}},
        now=now,
    )
    draft.preheader = words[:_PREHEADER] or campaign.preheader
    draft.lane, draft.purpose_id = campaign.lane, campaign.purpose_id
    draft.images = list(campaign.images)
    draft.corrects_id, draft.corrects_below = campaign.id, campaign.version
    return draft


def _subject(campaign: Campaign) -> str:
    said = translations(campaign.newsletter.locale).gettext(N_("Correction: %(subject)s"))
    if campaign.subject.startswith(said % {"subject": ""}):  # it corrects another itself
        return campaign.subject
    subject = said % {"subject": campaign.subject}
    return subject if len(subject) <= LONGEST_SUBJECT else campaign.subject


def _refuse_another(session: Session, campaign: Campaign) -> None:
    """Raise CannotCampaign where nothing was corrected, or another mail does it already."""
    if campaign.version == 1:
        raise CannotCampaign(
            f"Campaign {campaign.id} has not been corrected: replace what is wrong first, such as "
            f"with `mailer campaign correct {campaign.id} --html FILE`."
        )
    other = session.scalar(
        select(Campaign.id).where(
            Campaign.corrects_id == campaign.id, Campaign.state.not_in(_ENDED)
        )
    )
    if other is not None:
        raise CannotCampaign(
            f"Campaign {other} corrects campaign {campaign.id} already: send it to its end, or end "
            f"it with `mailer campaign cancel {other}`, before you make another."
        )
