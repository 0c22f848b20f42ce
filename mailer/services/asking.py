"""Asking again: a campaign to those whose consent stands under another wording than today's.

The old consent goes on meanwhile, for what it was given for. Who is asked, and that nobody is
asked twice under one wording, is a condition over the ledger (`store/audience.py`); that no two
campaigns ask at once, so that neither knows of the other, is seen to here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.errors import Refusal
from mailer.services.campaigns import LONGEST_SUBJECT, new_draft
from mailer.services.newsletters import one_line
from mailer.services.notices import lock_wordings
from mailer.store.actions import note_action
from mailer.store.audience import audience_size, current_notices
from mailer.store.models import Campaign, Newsletter, Notice, Purpose

_OVER = [
    state.value
    for state in (CampaignState.FINISHED, CampaignState.CANCELLED, CampaignState.EXPIRED)
]


class CannotAsk(Refusal):
    """Nobody can be asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """A draft that asks, the wording that it asks about, and how many it would reach now."""

    campaign: Campaign
    notice: Notice
    readers: int


def ask_again(
    session: Session,
    newsletter: Newsletter,
    purpose: Purpose,
    *,
    subject: str = "",
    answer_by: datetime | None = None,
    operator: str,
    now: datetime,
) -> list[Question]:
    """Make a draft for every wording in force that somebody has not agreed to; raises CannotAsk.

    With `answer_by`, the consent of those who were sent it and did not answer ends then.
    """
    lock_wordings(session, newsletter)
    subject = one_line(subject, "subject", LONGEST_SUBJECT)
    asked = list(_questions(session, newsletter, purpose, subject, answer_by, now))
    if not asked:
        raise CannotAsk(
            f"There is nobody to ask: all who receive {newsletter.slug}/{purpose.slug} have agreed "
            "to the wording in force, or were asked once already."
        )
    note_action(
        session, operator, "notice ask", now=now,
        details={
            "purpose": f"{newsletter.slug}/{purpose.slug}",
            "campaigns": {str(each.campaign.id): each.notice.sha256 for each in asked},
        },
    )  # fmt: skip
    return asked


def _questions(
    session: Session,
    newsletter: Newsletter,
    purpose: Purpose,
    subject: str,
    answer_by: datetime | None,
    now: datetime,
) -> Iterator[Question]:
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
    content: dict[str, Any] = {"answer_by": answer_by.isoformat()} if answer_by else {}
    for notice in offering:
        _refuse_two_at_once(session, notice)
        campaign = new_draft(
            purpose,
            subject=subject or f"Please renew: {newsletter.name}"[:LONGEST_SUBJECT],
            template="renewal",
            content=content,
            now=now,
        )
        campaign.renews_notice_id = notice.id
        campaign.expires_at = campaign.answer_by = answer_by
        session.add(campaign)
        session.flush()
        readers = audience_size(session, campaign)
        if readers:
            yield Question(campaign, notice, readers)
        else:
            session.delete(campaign)


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
