"""What a reader has agreed to, and how it differs from the wording of today."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.consent import SubscriptionState
from mailer.domain.notices import WordingChanges, changes_between
from mailer.services.newsletters.notices import wording_of
from mailer.store.audience import agreed_notice
from mailer.store.consents import ShownNotice
from mailer.store.models import Newsletter, Notice, Subscription


@dataclass(frozen=True, slots=True)
class Agreement:
    """Under what one purpose is active: the wording, None where it is not known.

    `implied`: it rests on a relation that ends, not on the reader's word.
    """

    notice: Notice | None
    implied: bool

    def is_renewed_by(self, shown: ShownNotice) -> bool:
        """Say whether a box that stays ticked under this wording says something new.

        A form that names no wording, or an older one, renews nothing.
        """
        if shown.assumed:
            return False
        before, now = self.notice, shown.notice
        if self.implied or before is None or before.locale != now.locale:
            return True
        return before.version < now.version


@dataclass(frozen=True, slots=True)
class NewWording:
    """What a reader is told when the wording is another than they agreed to.

    `before` is the oldest that still counts for them; None: they have seen none of ours.
    """

    before: Notice | None
    changes: WordingChanges | None


def agreements(session: Session, reader_id: int, newsletter_id: int) -> dict[int, Agreement]:
    """Return under what each active purpose of the reader stands, by the purpose's id."""
    agreed = agreed_notice(
        Subscription.subscriber_id.expression, Subscription.purpose_id.expression
    )
    rows = session.execute(
        select(Subscription.purpose_id, Subscription.valid_until, agreed).where(
            Subscription.subscriber_id == reader_id,
            Subscription.newsletter_id == newsletter_id,
            Subscription.state == SubscriptionState.ACTIVE.value,
        )
    )
    return {
        purpose_id: Agreement(
            session.get(Notice, notice_id) if notice_id else None, valid_until is not None
        )
        for purpose_id, valid_until, notice_id in rows
    }


def new_wording(
    session: Session, newsletter: Newsletter, reader_id: int, current: Notice | None
) -> NewWording | None:
    """Return what is to be told of the current wording; None where there is nothing new in it."""
    if current is None:
        return None
    shown = ShownNotice(current)
    offered = {purpose["slug"] for purpose in current.purposes}
    agreed = agreements(session, reader_id, newsletter.id)
    older = [
        agreed[purpose.id].notice
        for purpose in newsletter.purposes
        if purpose.id in agreed
        and purpose.slug in offered
        and agreed[purpose.id].is_renewed_by(shown)
        and agreed[purpose.id].notice is not current
    ]
    if not older:
        return None
    known = [notice for notice in older if notice is not None]
    if not known:
        return NewWording(None, None)
    before = min(known, key=lambda notice: notice.id)
    changes = changes_between(wording_of(newsletter, before), wording_of(newsletter, current))
    return NewWording(before, changes)
