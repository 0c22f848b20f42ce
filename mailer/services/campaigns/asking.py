"""Asking again: a campaign to those whose consent stands under another wording than today's.

The old consent goes on meanwhile, for what it was given for. Who is asked, and that nobody is
asked twice under one wording, is a condition over the ledger (`store/audience.py`); that no two
campaigns ask at once, so that neither knows of the other, is seen to here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.errors import Refusal
from mailer.services.campaigns.course import start_campaign
from mailer.services.campaigns.drafts import LONGEST_SUBJECT, new_draft
from mailer.services.newsletters.newsletters import one_line
from mailer.services.newsletters.notices import lock_wordings
from mailer.store.actions import note_action
from mailer.store.audience import count_to_ask, current_notices
from mailer.store.engine import Sessions, reading
from mailer.store.models import Campaign, Notice, Purpose

_OVER = [
    state.value
    for state in (CampaignState.FINISHED, CampaignState.CANCELLED, CampaignState.EXPIRED)
]


class CannotAsk(Refusal):
    """Nobody can be asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """A campaign that asks, the wording that it asks about, and how many it would reach now."""

    campaign: Campaign
    notice: Notice
    readers: int


def ask_again(
    sessions: Sessions,
    purpose_id: int,
    *,
    subject: str = "",
    answer_by: datetime | None = None,
    send: bool = False,
    operator: str,
    now: datetime,
) -> list[Question]:
    """Make a draft for every wording in force that somebody has not agreed to; raises CannotAsk.

    With `answer_by`, the consent of those who were sent it and did not answer ends then. With
    `send`, the drafts are started at once.
    """
    subject = one_line(subject, "subject", LONGEST_SUBJECT)
    with reading(sessions) as session:  # a million readers take seconds: nobody waits for that
        wanted = _whom_to_ask(session, session.get_one(Purpose, purpose_id))
    with sessions.begin() as session:
        purpose = session.get_one(Purpose, purpose_id)
        lock_wordings(session, purpose.newsletter)  # two who ask at once: one after the other
        asked = [
            Question(_draft(session, purpose, notice, subject, answer_by, now), notice, readers)
            for notice_id, readers in wanted.items()
            if (notice := session.get_one(Notice, notice_id))
        ]
        for question in asked if send else ():
            start_campaign(session, question.campaign, now=now)
        note_action(
            session, operator, "notice ask", now=now,
            details={
                "purpose": f"{purpose.newsletter.slug}/{purpose.slug}",
                "campaigns": {str(each.campaign.id): each.notice.sha256 for each in asked},
            },
        )  # fmt: skip
    return asked


def _whom_to_ask(session: Session, purpose: Purpose) -> dict[int, int]:
    """Return the wordings that somebody has not agreed to, and how many that are."""
    newsletter = purpose.newsletter
    offering = [
        notice
        for notice in current_notices(session, newsletter.id).values()
        if any(offered["slug"] == purpose.slug for offered in notice.purposes)
    ]
    if not offering:
        raise CannotAsk(
            f"No wording of {newsletter.slug} in force names {purpose.slug}: publish one with "
            f"`mailer notice publish {newsletter.slug}`."
        )
    for notice in offering:
        _refuse_two_at_once(session, notice)
    readers = {notice.id: count_to_ask(session, purpose, notice) for notice in offering}
    if not any(readers.values()):
        raise CannotAsk(
            f"There is nobody to ask: all who receive {newsletter.slug}/{purpose.slug} have agreed "
            "to the wording in force, or were asked once already."
        )
    return {notice_id: number for notice_id, number in readers.items() if number}


def _draft(
    session: Session,
    purpose: Purpose,
    notice: Notice,
    subject: str,
    answer_by: datetime | None,
    now: datetime,
) -> Campaign:
    _refuse_two_at_once(session, notice)
    content: dict[str, Any] = {"answer_by": answer_by.isoformat()} if answer_by else {}
    campaign = new_draft(
        purpose,
        subject=subject or f"Please renew: {purpose.newsletter.name}"[:LONGEST_SUBJECT],
        template="renewal",
        content=content,
        now=now,
    )
    campaign.renews_notice_id = notice.id
    campaign.expires_at = campaign.answer_by = answer_by
    session.add(campaign)
    session.flush()
    return campaign


def _refuse_two_at_once(session: Session, notice: Notice) -> None:
    open_one = session.scalar(
        select(Campaign.id).where(
            Campaign.renews_notice_id == notice.id, Campaign.state.not_in(_OVER)
        )
    )
    if open_one is not None:
        raise CannotAsk(
            f"Campaign {open_one} asks about this wording already: send it to its end, or end it "
            f"with `mailer campaign cancel {open_one}`, before you ask others."
        )
