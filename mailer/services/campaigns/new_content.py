"""What a campaign is to hold instead: built beside it, so that it is compiled before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from mailer.services.articles.images import Images
from mailer.services.campaigns.course import CannotCampaign
from mailer.services.campaigns.drafts import checked_html, checked_subject, headlines
from mailer.services.mails.freezing import freeze_articles
from mailer.services.newsletters.newsletters import one_line
from mailer.store.models import Campaign

LONGEST_NOTE = 1_000
"""Characters: a note says what was wrong, and is no letter."""


@dataclass(frozen=True, slots=True)
class NewContent:
    """What is to be replaced; what is None stays as it is.

    `refresh` copies the campaign's own articles anew; `html` takes the place of articles, and
    articles take the place of it. `images` are those of the articles. `note` says to readers what
    was wrong.
    """

    subject: str | None = None
    preheader: str | None = None
    article_ids: Sequence[int] | None = None
    refresh: bool = False
    html: str | None = None
    template: str | None = None
    note: str | None = None
    images: Images = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to replace; a note alone replaces nothing."""
        given = (self.subject, self.preheader, self.article_ids, self.html, self.template)
        return not self.refresh and all(each is None for each in given)


@dataclass(frozen=True, slots=True)
class Held:
    """Everything of a campaign that its mails are compiled from."""

    subject: str
    preheader: str
    template: str
    content: dict[str, Any]


def held_by(campaign: Campaign) -> Held:
    """Return what the campaign holds now."""
    return Held(campaign.subject, campaign.preheader, campaign.template, campaign.content)


def hold(campaign: Campaign, held: Held) -> None:
    """Let the campaign hold that, and nothing else."""
    campaign.subject, campaign.preheader = held.subject, held.preheader
    campaign.template, campaign.content = held.template, held.content


def articles_of(campaign: Campaign, new: NewContent) -> Sequence[int]:
    """Return which articles are copied for it; raises CannotCampaign where it has none of its own.

    Their images are fetched before anything is replaced.
    """
    if new.article_ids is not None:
        return new.article_ids
    if not new.refresh:
        return ()
    own = [each["id"] for each in campaign.content.get("articles", [])]
    if not own:
        raise CannotCampaign(f"Campaign {campaign.id} holds no articles: give --html FILE.")
    return own


def content_after(session: Session, campaign: Campaign, new: NewContent, *, now: datetime) -> Held:
    """Return what the campaign would hold; raises Refusals where it cannot, or holds it already.

    From its first mail on a campaign says in all that follow when it was corrected, for its page in
    the archive is public.
    """
    before = held_by(campaign)
    stories = _stories(session, campaign, new)
    content = {**before.content, **stories}
    if new.preheader is not None:
        preheader = one_line(new.preheader, "preheader")
    elif before.preheader == headlines(before.content):
        preheader = headlines(content)
    else:
        preheader = before.preheader
    after = Held(
        before.subject if new.subject is None else checked_subject(new.subject),
        preheader,
        new.template or before.template,
        content,
    )
    if after == before:
        raise CannotCampaign(f"Campaign {campaign.id} holds that already: nothing was replaced.")
    correction = _correction(campaign, checked_note(new.note), now)
    return Held(
        after.subject,
        after.preheader,
        after.template,
        content if correction is None else {**content, "correction": correction},
    )


def checked_note(note: str | None) -> str:
    """Return the note on one line; raises Refusals for one that is too long."""
    return one_line(note or "", "note", LONGEST_NOTE)


def _stories(session: Session, campaign: Campaign, new: NewContent) -> dict[str, Any]:
    if new.html is not None:
        return {"articles": [], "images_left_out": [], "body_html": checked_html(new.html)}
    wanted = articles_of(campaign, new)
    if not wanted:
        return {}
    frozen = freeze_articles(session, campaign.newsletter, wanted, merged={}, images=new.images)
    known = {each["id"]: each for each in campaign.content.get("articles", [])}
    for copy in frozen.articles:
        if copy["id"] in known:  # with those whose story it tells, too
            copy["sources"] = known[copy["id"]]["sources"]
    takes_its_place = new.article_ids is not None and campaign.content.get("body_html")
    return {
        "articles": frozen.articles,
        "images_left_out": frozen.left_out,
        **({"body_html": ""} if takes_its_place else {}),
    }


def _correction(campaign: Campaign, note: str, now: datetime) -> dict[str, Any] | None:
    """Return what the mails say of the correction; None where nobody can have seen anything else.

    A correction mail goes on saying that it is one.
    """
    before = campaign.content.get("correction") or {}
    if before.get("earlier"):
        return {"at": now.isoformat(), "note": note or before["note"], "earlier": True}
    if campaign.started_at is not None:
        return {"at": now.isoformat(), "note": note, "earlier": False}
    if note:
        raise CannotCampaign(
            f"Nothing of campaign {campaign.id} has gone, so that there is nobody to tell what was "
            "wrong: leave --note out."
        )
    return None
