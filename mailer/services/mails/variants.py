"""Compiling ahead: every outcome that a campaign's audience comes out at, before the first mail.

Nothing is rendered per reader: who comes out as somebody before them needs nothing compiled. Killed
at any point, it is begun anew, and finds what is compiled already.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.domain.locales import mail_locale
from mailer.locales import LANGUAGES
from mailer.rendering import CannotWorkOut, CompiledMessage, Outcomes
from mailer.services.mails.choosing import Home, details, locale_of, stored_path
from mailer.services.mails.renderer import Renderer, variants_of
from mailer.store.engine import Sessions, reading
from mailer.store.models import Campaign, Notice, WantedVariant
from mailer.store.profiles import Profile, audience_locales, page_of_audience, profiles

_ALWAYS_KNOWN = frozenset({"email", "name", "first_name"})
_PAGE = 2_000
_MOST_WANTED = 500


class ContentReplaced(Exception):
    """The campaign has been corrected meanwhile: what is compiled is of no use any more."""


class VariantMaker:
    """Compiles what a campaign's readers need; outside of any transaction that writes.

    All of it from one version of the campaign's content; raises ContentReplaced once there is
    another.
    """

    def __init__(
        self,
        sessions: Sessions,
        campaign_id: int,
        renderer: Renderer,
        now: Callable[[], datetime],
    ) -> None:
        self._sessions = sessions
        self._campaign_id = campaign_id
        self._renderer = renderer
        self._now = now
        self._outcomes = Outcomes()
        self._home = Home("", "")
        self._fixed_locale: str | None = None
        self._newsletter_id = 0
        self.version = 0
        """The version of the content that is compiled; 0 before it is looked at."""

    def compile_ahead(self, pause: Callable[[], None] = lambda: None) -> int:
        """Compile the mail, and all its outcomes among the audience; return how many there are.

        Raises TemplateRefused, and TooManyOutcomes, which names the condition.
        """
        self._compile_first()
        with reading(self._sessions) as session:
            personal = session.get_one(Campaign, self._campaign_id).personal
        if not personal:
            return 1
        self._look()
        after: int | None = 0
        while after is not None:
            after = self._compile_page(after)
            pause()
        return self._outcomes.number

    def compile_wanted(self) -> int:
        """Compile for readers who have changed their mind; return for how many.

        Where that cannot be, it is written down why, and the mail to this one reader fails.
        """
        self._look()
        with reading(self._sessions) as session:
            wanted = session.scalars(
                select(WantedVariant.subscriber_id)
                .where(WantedVariant.campaign_id == self._campaign_id, WantedVariant.problem == "")
                .limit(_MOST_WANTED)
            ).all()
            found = profiles(session.connection(), self._newsletter_id, wanted)
        for reader in wanted:
            problem = ""
            try:
                if reader in found:
                    self._compile_for(found[reader])
            except Refusal as refusal:
                problem = str(refusal)
            self._answer(reader, problem)
        return len(wanted)

    def _compile_first(self) -> None:
        """Compile it for somebody who has told us nothing: what everybody may see."""
        with reading(self._sessions) as session:
            campaign = session.get_one(Campaign, self._campaign_id)
            self.version = campaign.version
            if variants_of(session, campaign):
                return
            first = self._renderer.campaign_message(session, campaign)
            personal = differs(session, campaign, first)
        with self._sessions.begin() as session:
            campaign = self._unchanged(session)
            self._renderer.store_campaign_variant(session, campaign, first, now=self._now())
            campaign.personal = personal

    def _look(self) -> None:
        """See what is compiled already, and what holds for readers who said nothing."""
        with reading(self._sessions) as session:
            campaign = session.get_one(Campaign, self._campaign_id)
            self.version = campaign.version
            newsletter = campaign.newsletter
            self._newsletter_id = newsletter.id
            self._home = Home(newsletter.locale, newsletter.timezone)
            if campaign.renews_notice_id is not None:
                self._fixed_locale = session.get_one(Notice, campaign.renews_notice_id).locale
            for kept in variants_of(session, campaign):
                self._outcomes.add(kept.id, kept.locale, stored_path(kept.path))

    def _compile_page(self, after: int) -> int | None:
        """Compile what the next readers of the audience need; None where there are no more."""
        with reading(self._sessions) as session:
            campaign = session.get_one(Campaign, self._campaign_id)
            readers = page_of_audience(session, campaign, after=after, limit=_PAGE)
            found = profiles(session.connection(), self._newsletter_id, readers)
        for profile in found.values():
            try:
                self._compile_for(profile)
            except CannotWorkOut:
                continue  # the mail to this one reader fails, and says why
        return readers[-1] if readers else None

    def _compile_for(self, profile: Profile) -> None:
        locale = locale_of(profile, self._home, self._fixed_locale)
        if self._outcomes.choose(details(profile, self._home), locale) is not None:
            return
        self._outcomes.refuse_more(locale)
        with reading(self._sessions) as session:
            campaign = session.get_one(Campaign, self._campaign_id)
            compiled = self._renderer.campaign_message(
                session, campaign, reader=profile, locale=locale
            )
        with self._sessions.begin() as session:
            campaign = self._unchanged(session)
            kept = self._renderer.store_campaign_variant(
                session, campaign, compiled, now=self._now()
            )
        self._outcomes.add(kept, locale, compiled.path)

    def _unchanged(self, session: Session) -> Campaign:
        """Return the campaign, held as it is, if it still has the content that was compiled."""
        campaign = session.get_one(Campaign, self._campaign_id, with_for_update=True)
        if campaign.version != self.version:
            raise ContentReplaced
        return campaign

    def _answer(self, reader: int, problem: str) -> None:
        this = (
            WantedVariant.campaign_id == self._campaign_id,
            WantedVariant.subscriber_id == reader,
        )
        with self._sessions.begin() as session:
            self._unchanged(session)
            if problem:
                session.execute(update(WantedVariant).where(*this).values(problem=problem))
            else:
                session.execute(delete(WantedVariant).where(*this))


def differs(session: Session, campaign: Campaign, first: CompiledMessage) -> bool:
    """Say whether a mail needs more of its reader than address and name."""
    if first.path or first.reads - _ALWAYS_KNOWN:
        return True
    if campaign.renews_notice_id is not None:
        return False
    default = campaign.newsletter.locale
    spoken = audience_locales(session, campaign)
    return any(mail_locale(own, default, LANGUAGES) != default for own in spoken)
