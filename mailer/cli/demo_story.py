"""The story that `mailer demo` plays with real parts: sign-up, digest, inbox, leaving."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, TypeVar

import httpx2

from mailer.domain.addresses import parse_address
from mailer.domain.campaigns import CampaignState
from mailer.domain.consent import Method
from mailer.domain.errors import Refusal
from mailer.services.articles.articles import add_article, read_page
from mailer.services.articles.feeds import add_feed, fetch_feeds
from mailer.services.campaigns.reports import report
from mailer.services.consent.adding import add_reader
from mailer.services.digests.digests import Ran, add_digest, begin_run, look_ahead, run_digest
from mailer.services.newsletters.lookup import find_campaign, find_digest, find_newsletter
from mailer.services.newsletters.newsletters import add_newsletter, add_purpose, edit_publisher
from mailer.services.newsletters.notices import publish_notice
from mailer.services.readers.readers import require_reader, show_reader
from mailer.store.consents import Evidence
from mailer.store.engine import reading
from mailer.store.readers import ReaderDetails
from mailer.transports.capture import CaughtMail, Mailbox

if TYPE_CHECKING:
    from mailer.wiring import Parts

_Found = TypeVar("_Found")

SLUG = "baobab-dispatch"
_NAME = "Baobab Dispatch"
_DIGEST = "friday"
_LATE_STORY = "highland-coffee"
_POLL_SECONDS = 0.2

_PURPOSES = (
    ("updates", "Updates: the week's stories, every Friday", "editorial"),
    ("exclusives", "Exclusive stories, before anybody else reads them", "editorial"),
    ("opportunities", "Opportunities to engage: events, surveys, calls for stories", "editorial"),
    ("partner-promotions", "Promotions of our partners, now and then", "partner"),
)


@dataclass(frozen=True, slots=True)
class InventedReader:
    """A reader of the demo; `.test` addresses reach nobody (RFC 2606)."""

    name: str
    address: str
    purposes: tuple[str, ...]


BY_FORM = (
    InventedReader("Amina Okafor", "amina@readers.test", ("updates", "exclusives")),
    InventedReader("Kofi Mensah", "kofi@readers.test", ("updates",)),
    InventedReader("Zanele Dube", "zanele@readers.test", ("updates", "opportunities")),
)
BY_RECORD = (
    InventedReader("Youssef Haddad", "youssef@readers.test", ("updates",)),
    InventedReader("Fatou Ndiaye", "fatou@readers.test", ("updates", "partner-promotions")),
    InventedReader("Tendai Moyo", "tendai@readers.test", ("exclusives",)),
)
_LEAVER = BY_FORM[1]


class StoryStuck(Refusal):
    """Something that the demo waited for did not happen."""


class Story:
    """Plays the story; every step tells what happened, or raises StoryStuck."""

    def __init__(
        self, parts: Parts, *, tell: Callable[[str], None], clock: Callable[[], float], until: float
    ) -> None:
        self._parts = parts
        self._tell = tell
        self._clock = clock
        self._until = until
        self._mailbox = parts.mailbox or Mailbox(parts.settings.inbox_dir)
        self._client = httpx2.Client(trust_env=False, timeout=10.0, follow_redirects=True)
        self._base = parts.settings.public_url
        self.archive_url = ""

    def play(self) -> None:
        """Play all of it, in order."""
        with self._client:
            self._set_up()
            for reader in BY_FORM:
                self._sign_up(reader)
            self._tell_of_sign_up()
            self._record_consents()
            self._gather_articles()
            first = self._run_digest()
            self._tell_of_digest(first)
            self._leave_by_one_click()
            self._add_late_story()
            self._tell_of_second_digest(self._run_digest(), first)

    def _set_up(self) -> None:
        notice_text = files("mailer.cli").joinpath("sample/notice.txt").read_text("utf-8")
        now = self._parts.now()
        with self._parts.sessions.begin() as session:
            edit_publisher(
                session,
                {
                    "name": "Baobab Press Co-operative (invented)",
                    "address": "12 Acacia Avenue, Kassa",
                    "contact": "privacy@baobab-dispatch.test",
                    "jurisdiction": "Kassa",
                },
            )
            newsletter = add_newsletter(
                session,
                slug=SLUG,
                name=_NAME,
                sender=f"{_NAME} <stories@baobab-dispatch.test>",
                locale="en",
                timezone="Africa/Lagos",
                postal_address="Baobab Press Co-operative, 12 Acacia Avenue, Kassa",
                now=now,
            )
            session.flush()
            for slug, label, kind in _PURPOSES:
                add_purpose(session, newsletter, slug, label, kind=kind)
            session.flush()
            notice = publish_notice(session, newsletter, locale="en", text=notice_text, now=now)
            session.flush()
            add_digest(
                session,
                newsletter,
                slug=_DIGEST,
                purpose="updates",
                cron="0 7 * * FRI",
                timezone="Africa/Lagos",
                renderer=self._parts.renderer,
                now=now,
            )
            fingerprint = notice.sha256[:12]
        self._tell(
            f"The newsletter “{_NAME}” was set up: {len(_PURPOSES)} purposes, each with a box of "
            f"its own, and the wording under which readers sign up (kept word for word, "
            f"SHA-256 {fingerprint}…)."
        )

    def _sign_up(self, reader: InventedReader) -> None:
        """Fill in the real form, find the mail in the inbox, press the button behind its link."""
        page_url = self._parts.links.signup(SLUG)
        page = self._client.get(page_url)
        notice = re.search(r'name="notice"[^>]*value="([0-9a-f]{64})"', page.text)
        if page.status_code != 200 or notice is None:
            raise StoryStuck(f"{page_url} does not show the sign-up form ({page.status_code}).")
        form = {
            "email": reader.address,
            "name": reader.name,
            "purpose": list(reader.purposes),
            "notice": notice.group(1),
        }
        answered = self._client.post(page_url, data=form)
        if answered.status_code != 200:
            raise StoryStuck(f"{page_url} did not take {reader.address} ({answered.status_code}).")
        asked = partial(self._confirm_link, reader.address)
        link = self._wait(asked, f"the confirmation for {reader.address}")
        self._client.get(link)
        if self._client.post(link).status_code != 200:
            raise StoryStuck(f"The confirm link of {reader.address} did not work.")
        self._wait(partial(self._is_active, reader), f"{reader.address} to be active")

    def _tell_of_sign_up(self) -> None:
        names = ", ".join(reader.name.split()[0] for reader in BY_FORM)
        self._tell(
            f"{len(BY_FORM)} readers ({names}) filled in the sign-up page, got a mail that asked "
            "them to confirm, and pressed the button behind its link."
        )

    def _record_consents(self) -> None:
        with self._parts.sessions.begin() as session:
            newsletter = find_newsletter(session, SLUG)
            for reader in BY_RECORD:
                add_reader(
                    session,
                    newsletter,
                    parse_address(reader.address),
                    purposes=list(reader.purposes),
                    details=ReaderDetails(name=reader.name),
                    attributes={},
                    evidence=Evidence(Method.CLI, source="paper list, book fair (invented)"),
                    renderer=self._parts.renderer,
                    confirm=False,
                    suppression_key=self._parts.suppression_key,
                    now=self._parts.now(),
                )
        names = ", ".join(reader.name.split()[0] for reader in BY_RECORD)
        self._tell(
            f"{len(BY_RECORD)} more ({names}) had consented on paper: recorded with that source. "
            "Tendai asked for exclusive stories only."
        )

    def _gather_articles(self) -> None:
        folder = self._parts.settings.home / "sample"
        folder.mkdir(parents=True, exist_ok=True)
        template = files("mailer.cli").joinpath("sample/feed.xml").read_text("utf-8")
        feed_file = folder / "feed.xml"
        feed_file.write_text(template.replace("@PUBLIC_URL@", self._base), "utf-8")
        with self._parts.sessions.begin() as session:
            newsletter = find_newsletter(session, SLUG)
            add_feed(session, newsletter, str(feed_file))
            newsletter_id = newsletter.id
        reports = fetch_feeds(
            self._parts.sessions,
            newsletter_id=newsletter_id,
            fetch=self._parts.fetch,
            now=self._parts.now,
        )
        added = sum(report.added for report in reports)
        if not added or any(report.error for report in reports):
            raise StoryStuck(f"The sample feed {feed_file} gave no articles.")
        self._tell(f"The newsroom's feed gave {added} articles with pictures.")

    def _run_digest(self) -> int:
        now = self._parts.now()
        with reading(self._parts.sessions) as session:
            occasion = begin_run(find_digest(session, find_newsletter(session, SLUG), _DIGEST))
            outlook = look_ahead(session, occasion, now=now)
        images = self._parts.images.keep(outlook.chosen if outlook else ())
        with self._parts.sessions.begin() as session:
            outcome = run_digest(session, occasion, outlook=outlook, images=images, now=now)
            if not isinstance(outcome, Ran):
                raise StoryStuck(f"The digest did not run: {outcome.reason if outcome else ''}")
            campaign_id = outcome.campaign.id
            self.archive_url = self.archive_url or self._parts.links.archive(
                outcome.campaign.public_id
            )
        self._parts.doorbell.ring_prepare(campaign_id)
        self._wait(partial(self._is_finished, campaign_id), "the digest to be sent")
        return campaign_id

    def _tell_of_digest(self, campaign_id: int) -> None:
        sent = self._sent(campaign_id)
        expected = {
            reader.address for reader in BY_FORM + BY_RECORD if "updates" in reader.purposes
        }
        if sent != len(expected):
            raise StoryStuck(f"The digest reached {sent} readers instead of {len(expected)}.")
        self._tell(
            f"The digest “{_DIGEST}” ran: {sent} mails went out over SMTP, one to each reader "
            "with a consent for updates. Tendai got none."
        )

    def _leave_by_one_click(self) -> None:
        mail = self._wait(partial(self._digest_mail, _LEAVER.address), "the digest in the inbox")
        link = re.search(r"<(https?://[^>]+/u/[^>]+)>", str(mail.message["List-Unsubscribe"]))
        one_click = str(mail.message["List-Unsubscribe-Post"])
        if link is None or one_click != "List-Unsubscribe=One-Click":
            raise StoryStuck("The mail has no one-click header (RFC 8058).")
        answered = self._client.post(link.group(1), data={"List-Unsubscribe": "One-Click"})
        if answered.status_code != 200 or self._is_active(_LEAVER):
            raise StoryStuck(f"Leaving by one click did not work ({answered.status_code}).")
        self._tell(
            f"{_LEAVER.name.split()[0]} left with the one-click header of his mail "
            "(a single POST, as mail programs do it)."
        )

    def _add_late_story(self) -> None:
        url = f"{self._base}/static/sample/{_LATE_STORY}.html"
        page = self._client.get(url)
        if page.status_code != 200:
            raise StoryStuck(f"{url} is not there ({page.status_code}).")
        saved = self._parts.settings.home / "sample" / f"{_LATE_STORY}.html"
        saved.write_bytes(page.content)
        draft = read_page(str(saved), fetch=self._parts.fetch, url=url)
        with self._parts.sessions.begin() as session:
            newsletter = find_newsletter(session, SLUG)
            add_article(session, newsletter, draft, now=self._parts.now())

    def _tell_of_second_digest(self, campaign_id: int, first: int) -> None:
        sent, before = self._sent(campaign_id), self._sent(first)
        if sent != before - 1:
            raise StoryStuck(f"The second digest reached {sent} readers instead of {before - 1}.")
        self._tell(
            f"A new article came in and the digest ran again: {sent} mails with that one story. "
            f"{_LEAVER.name.split()[0]} got nothing, and nobody got an article twice."
        )

    def _confirm_link(self, address: str) -> str | None:
        link = re.compile(re.escape(self._base) + r"/c/[\w-]+")
        for mail in self._mails_to(address):
            if found := link.search(mail.part("plain")):
                return found.group()
        return None

    def _digest_mail(self, address: str) -> CaughtMail | None:
        return next(
            (mail for mail in self._mails_to(address) if mail.message["List-Unsubscribe-Post"]),
            None,
        )

    def _mails_to(self, address: str) -> list[CaughtMail]:
        return [mail for mail in self._mailbox.latest(100) if address in mail.to]

    def _is_active(self, reader: InventedReader) -> bool:
        key = self._parts.suppression_key
        with reading(self._parts.sessions) as session:
            fields = show_reader(session, require_reader(session, reader.address, key))
        return bool(fields["state"] == "active")

    def _is_finished(self, campaign_id: int) -> bool:
        with reading(self._parts.sessions) as session:
            state = find_campaign(session, str(campaign_id)).state
        return state == CampaignState.FINISHED.value

    def _sent(self, campaign_id: int) -> int:
        with reading(self._parts.sessions) as session:
            counts = report(session, find_campaign(session, str(campaign_id)))["counts"]
        return int(counts["sent"])

    def _wait(self, look: Callable[[], _Found | None], what: str) -> _Found:
        """Look until there is something; raises StoryStuck when the time is over."""
        while not (found := look()):
            if self._clock() > self._until:
                raise StoryStuck(f"The demo waited in vain for {what}.")
            time.sleep(_POLL_SECONDS)
        return found
