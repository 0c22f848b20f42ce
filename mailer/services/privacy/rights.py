"""What a reader asks for by themselves: a copy of everything, or the end of everything.

The preference page takes the wish; a mail to the reader's own address carries the link that fulfils
it, so that a link that has got into other hands tells and deletes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.domain.consent import Method
from mailer.domain.deliveries import DeliveryKind, Lane
from mailer.domain.retry import lifetime
from mailer.domain.tokens import Token, TokenKind, TokenSigner
from mailer.services.mails.renderer import Renderer
from mailer.services.privacy.erasing import Erased, erase_reader
from mailer.services.privacy.personal_data import personal_data
from mailer.services.privacy.practice import Practice, contact
from mailer.store.actions import note_action
from mailer.store.ledger import queue_mail
from mailer.store.models import Erasure, Newsletter, Subscriber, Subscription, delivery
from mailer.store.readers import lock_reader
from mailer.store.suppressions import standing

MAILS_A_DAY = 3
"""To one reader: a greylisted one needs a second, and nobody is flooded from a stolen link."""

VALID_DAYS = 7
"""After the day on which the reader asked."""

READER = "reader"
"""Who acts, in the audit trail, where it is the reader."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STANDING = ("active", "pending")


class Wish(StrEnum):
    """What the reader asks for; the value stands in addresses of pages."""

    EXPORT = "export"
    ERASE = "erase"

    @property
    def token_kind(self) -> TokenKind:
        """The kind of link that fulfils it."""
        return {Wish.EXPORT: TokenKind.EXPORT, Wish.ERASE: TokenKind.ERASE}[self]

    @property
    def template(self) -> str:
        """The mail that carries the link."""
        return f"{self.value}-request"

    @property
    def verb(self) -> str:
        """The verb of the command line that does the same, for the audit trail."""
        return f"privacy {self.value}"


class Answer(StrEnum):
    """What became of a wish on the preference page."""

    MAILED = "mailed"
    TOO_MANY = "too many"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class WishTaken:
    """What the page says after the button on the preference page."""

    newsletter: Newsletter
    wish: Wish
    answer: Answer
    email: str
    contact: str


class LinkState(StrEnum):
    """What the mail's link still does."""

    OPEN = "open"
    DONE = "done"
    RUN_OUT = "run out"


@dataclass(frozen=True, slots=True)
class WishPage:
    """What the page behind the mail's link shows; nothing that is known of the reader."""

    newsletter: Newsletter
    subscriber_id: int
    state: LinkState
    ends: tuple[str, ...] = ()
    """The newsletters that end with an erasure."""


def take_wish(
    session: Session,
    signer: TokenSigner,
    text: str,
    wish: Wish,
    *,
    renderer: Renderer,
    now: datetime,
) -> WishTaken | None:
    """Queue the mail that carries the link; None: not a link to a preference page of ours.

    Whoever holds the link holds the mailbox or a mail from it, so that the page may say why there
    is no mail.
    """
    token = signer.read(text, TokenKind.PREFERENCES)
    newsletter = session.get(Newsletter, token.newsletter_id) if token else None
    reader = lock_reader(session, token.subscriber_id) if token else None
    if newsletter is None or reader is None:
        return None
    answer = _may_be_written_to(session, reader, newsletter, now)
    if answer is Answer.MAILED:
        _queue(session, reader, newsletter, wish, renderer, now)
        note_action(
            session, READER, wish.verb, now=now, subscriber_id=reader.id,
            details={"step": "asked, a mail was sent"},
        )  # fmt: skip
    return WishTaken(newsletter, wish, answer, reader.email, contact(session))


def open_wish(
    session: Session, signer: TokenSigner, text: str, wish: Wish, *, now: datetime
) -> WishPage | None:
    """Return what the mail's link would do; changes nothing. None: not a link of ours."""
    token = signer.read(text, wish.token_kind)
    newsletter = session.get(Newsletter, token.newsletter_id) if token else None
    if token is None or newsletter is None:
        return None
    if session.get(Subscriber, token.subscriber_id) is None:
        erased = select(Erasure.id).where(Erasure.subscriber_id == token.subscriber_id)
        known = session.scalar(erased) is not None
        return WishPage(newsletter, token.subscriber_id, LinkState.DONE) if known else None
    if not _is_in_time(token, now):
        return WishPage(newsletter, token.subscriber_id, LinkState.RUN_OUT)
    ends = _standing_newsletters(session, token.subscriber_id)
    return WishPage(newsletter, token.subscriber_id, LinkState.OPEN, tuple(ends))


def fulfil_export(
    session: Session, page: WishPage, form: str, practice: Practice, *, now: datetime
) -> dict[str, Any]:
    """Return everything about the reader whose link is open, and note that they took it."""
    reader = session.get_one(Subscriber, page.subscriber_id)
    document = personal_data(session, reader, practice, now=now)
    note_action(
        session, READER, Wish.EXPORT.verb, now=now, subscriber_id=reader.id,
        details={"step": "downloaded", "form": form},
    )  # fmt: skip
    return document


def fulfil_erasure(
    session: Session, signer: TokenSigner, text: str, *, now: datetime
) -> tuple[WishPage | None, Erased | None]:
    """Erase the reader whose link is open, and say that it is done; a second press says the same.

    What is not in rows has to follow (`erasing.clean_up`): with what is returned beside the page,
    or else by the sweep.
    """
    found = open_wish(session, signer, text, Wish.ERASE, now=now)
    if found is None or found.state is not LinkState.OPEN:
        return found, None
    erased = None
    reader = lock_reader(session, found.subscriber_id)
    if reader is not None:
        erased = erase_reader(session, reader, method=Method.PREFERENCES.value, now=now)
        note_action(
            session, READER, Wish.ERASE.verb, now=now, subscriber_id=found.subscriber_id,
            details={"step": "done"},
        )  # fmt: skip
    return replace(found, state=LinkState.DONE), erased


def day_of(moment: datetime) -> int:
    """Return the day (UTC) as a number: what a link's time is counted from."""
    return (moment - _EPOCH).days


def _is_in_time(token: Token, now: datetime) -> bool:
    return 0 <= day_of(now) - token.serial <= VALID_DAYS


def _may_be_written_to(
    session: Session, reader: Subscriber, newsletter: Newsletter, now: datetime
) -> Answer:
    if standing(session, reader.address_hash, newsletter.slug):
        return Answer.SUPPRESSED
    lately = select(func.count()).where(
        delivery.c.subscriber_id == reader.id,
        delivery.c.kind == DeliveryKind.SERVICE.value,
        delivery.c.created_at > now - timedelta(days=1),
    )
    too_many = (session.scalar(lately) or 0) >= MAILS_A_DAY
    return Answer.TOO_MANY if too_many else Answer.MAILED


def _queue(
    session: Session,
    reader: Subscriber,
    newsletter: Newsletter,
    wish: Wish,
    renderer: Renderer,
    now: datetime,
) -> None:
    variant = renderer.store_service_variant(
        session, newsletter, wish.template, reader.locale, days=VALID_DAYS, now=now
    )
    queue_mail(
        session,
        kind=DeliveryKind.SERVICE,
        newsletter_id=newsletter.id,
        variant_id=variant,
        provider=reader.provider,
        subscriber_id=reader.id,
        serial=day_of(now),
        now=now,
        expires_at=now + lifetime(DeliveryKind.SERVICE, Lane.TRANSACTIONAL),
    )


def _standing_newsletters(session: Session, reader_id: int) -> Sequence[str]:
    return session.scalars(
        select(Newsletter.name)
        .where(
            Newsletter.id.in_(
                select(Subscription.newsletter_id).where(
                    Subscription.subscriber_id == reader_id, Subscription.state.in_(_STANDING)
                )
            )
        )
        .order_by(Newsletter.name)
    ).all()
