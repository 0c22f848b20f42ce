"""Signing up and confirming: from a form to a standing consent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from mailer.domain.addresses import EmailAddress
from mailer.domain.consent import CONFIRM_WITHIN, ConsentState, SubscriptionState
from mailer.domain.deliveries import DeliveryKind, Lane
from mailer.domain.retry import lifetime
from mailer.domain.tokens import Token, TokenKind, TokenSigner
from mailer.services.mails.renderer import Renderer
from mailer.services.newsletters.notices import current_notice, label_shown, notice_by_hash
from mailer.services.newsletters.topics import add_first_topics
from mailer.store.audience import waits, waits_since
from mailer.store.consents import (
    Evidence,
    ShownNotice,
    next_request,
    record,
    standing_notice,
)
from mailer.store.ledger import queue_mail
from mailer.store.models import Newsletter, Purpose, Subscriber, Subscription, delivery
from mailer.store.readers import ReaderDetails, find_or_add_reader, lock_reader
from mailer.store.suppressions import forgive_erasure, may_be_asked

CONFIRMATIONS_A_DAY = 3
"""Per address and newsletter; a greylisted reader needs a second, a flood must not get a tenth."""


@dataclass(frozen=True, slots=True)
class Signup:
    """One filled-in form."""

    newsletter: Newsletter
    address: EmailAddress
    purposes: tuple[str, ...]
    evidence: Evidence
    notice_sha256: str | None
    details: ReaderDetails = field(default_factory=ReaderDetails)


class SignupOutcome(StrEnum):
    """What the form's page says next. RECEIVED tells nothing about the address."""

    RECEIVED = "received"
    NOTICE_CHANGED = "notice changed"
    NO_PURPOSE = "no purpose"


def request_signup(
    session: Session, signup: Signup, *, renderer: Renderer, suppression_key: bytes, now: datetime
) -> SignupOutcome:
    """Record what was asked for under which wording, and queue the mail that asks to confirm."""
    shown = _shown_notice(session, signup)
    if shown is None:
        return SignupOutcome.NOTICE_CHANGED
    offered = {purpose["slug"] for purpose in shown.notice.purposes}
    wanted = [
        purpose
        for purpose in signup.newsletter.purposes
        if purpose.slug in signup.purposes and purpose.slug in offered
    ]
    if not wanted:
        return SignupOutcome.NO_PURPOSE
    reader = find_or_add_reader(session, signup.address, suppression_key, now=now)
    request = next_request(session, reader, signup.newsletter, signup.details)
    for purpose in wanted:
        record(
            session, reader, purpose, ConsentState.REQUESTED, signup.evidence,
            now=now, shown=shown, request=request,
        )  # fmt: skip
    send_confirmation(session, reader, signup.newsletter, renderer=renderer, now=now)
    return SignupOutcome.RECEIVED


def send_confirmation(
    session: Session,
    reader: Subscriber,
    newsletter: Newsletter,
    *,
    renderer: Renderer,
    now: datetime,
) -> int | None:
    """Queue a confirmation for all that waits; None where nothing does, or too many went."""
    session.flush()
    waiting = [each for each, _ in _waiting(session, reader.id, newsletter.id)]
    if not waiting or not may_be_asked(session, reader.address_hash, newsletter.slug):
        return None
    if _confirmations_since(session, reader.id, newsletter.id, now) >= CONFIRMATIONS_A_DAY:
        return None
    shown = standing_notice(session, reader.id, waiting[0].purpose_id)
    variant = renderer.store_confirmation_variant(
        session,
        newsletter,
        [subscription.purpose for subscription in waiting],
        shown.notice if shown else None,
        now=now,
    )
    return queue_mail(
        session,
        kind=DeliveryKind.CONFIRMATION,
        newsletter_id=newsletter.id,
        variant_id=variant,
        provider=reader.provider,
        subscriber_id=reader.id,
        serial=max(subscription.request for subscription in waiting),
        now=now,
        expires_at=now + lifetime(DeliveryKind.CONFIRMATION, Lane.TRANSACTIONAL),
    )


class ConfirmState(StrEnum):
    """What a confirm link still does."""

    OPEN = "open"
    DONE = "done"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ConfirmPage:
    """What the confirm page shows."""

    newsletter: Newsletter
    subscriber_id: int
    purposes: tuple[str, ...]  # in the words that were shown
    locale: str
    state: ConfirmState


def open_confirmation(
    session: Session, signer: TokenSigner, text: str, *, now: datetime
) -> ConfirmPage | None:
    """Return what the link would confirm; changes nothing. None: not a link of ours."""
    token = signer.read(text, TokenKind.CONFIRM)
    newsletter = session.get(Newsletter, token.newsletter_id) if token else None
    if token is None or newsletter is None or session.get(Subscriber, token.subscriber_id) is None:
        return None
    confirmable = _confirmable(session, token, now)
    if confirmable:
        return _page(session, newsletter, token, confirmable, ConfirmState.OPEN)
    given = _given(session, token.subscriber_id, newsletter.id)
    state = ConfirmState.DONE if given else ConfirmState.EXPIRED
    return _page(session, newsletter, token, given, state)


def confirm(
    session: Session,
    signer: TokenSigner,
    text: str,
    evidence: Evidence,
    *,
    message_id_of: Callable[[int], str],
    now: datetime,
) -> ConfirmPage | None:
    """Turn the requests that the link was sent for into consent; a second press changes nothing.

    The evidence names the mail that the link stood in.
    """
    token = signer.read(text, TokenKind.CONFIRM)
    reader = lock_reader(session, token.subscriber_id) if token else None
    if token is None or reader is None:
        return None
    waiting = _confirmable(session, token, now)
    sent = _confirmation_sent(session, token)
    if sent is not None:
        evidence = replace(evidence, confirmation_message_id=message_id_of(sent))
    for subscription in waiting:
        record(
            session,
            reader,
            subscription.purpose,
            ConsentState.GIVEN,
            evidence,
            now=now,
            shown=standing_notice(session, reader.id, subscription.purpose_id),
        )
    if waiting:
        forgive_erasure(session, reader.address_hash, now=now)
    _believe(session, reader, waiting)
    session.flush()
    return open_confirmation(session, signer, text, now=now)


def _believe(session: Session, reader: Subscriber, confirmed: Sequence[Subscription]) -> None:
    """Keep what the sign-up said of the reader, now that the reader stands by it."""
    for subscription in sorted(confirmed, key=lambda each: each.request, reverse=True):
        for said in ("name", "locale", "timezone"):
            if not getattr(reader, said):
                setattr(reader, said, subscription.details.get(said) or "")
        said_topics = subscription.details.get("topics") or ()
        if said_topics:
            add_first_topics(session, reader, subscription.newsletter_id, said_topics)


def _shown_notice(session: Session, signup: Signup) -> ShownNotice | None:
    """Return the wording on the page; an absent hash means the current one, and says so."""
    if signup.notice_sha256 is None:
        notice = current_notice(session, signup.newsletter, signup.details.locale)
        return ShownNotice(notice, assumed=True) if notice else None
    notice = notice_by_hash(session, signup.newsletter, signup.notice_sha256)
    return ShownNotice(notice) if notice else None


def _page(
    session: Session,
    newsletter: Newsletter,
    token: Token,
    subscriptions: list[Subscription],
    state: ConfirmState,
) -> ConfirmPage:
    locale, labels = newsletter.locale, []
    for subscription in subscriptions:
        shown = standing_notice(session, token.subscriber_id, subscription.purpose_id)
        locale = shown.notice.locale if shown else locale
        labels.append(
            label_shown(newsletter, subscription.purpose, shown.notice if shown else None)
        )
    return ConfirmPage(newsletter, token.subscriber_id, tuple(labels), locale, state)


def _confirmable(session: Session, token: Token, now: datetime) -> list[Subscription]:
    """Return what waits since a request no later than the link's, and not for too long."""
    return [
        subscription
        for subscription, asked in _waiting(session, token.subscriber_id, token.newsletter_id)
        if subscription.request <= token.serial and now - asked < CONFIRM_WITHIN
    ]


def _waiting(
    session: Session, reader_id: int, newsletter_id: int
) -> list[tuple[Subscription, datetime]]:
    """Return what waits for the reader's word, and since when."""
    asked = waits_since()
    rows = session.execute(_of(reader_id, newsletter_id).add_columns(asked).where(waits()))
    return [(subscription, at) for subscription, at in rows]


def _given(session: Session, reader_id: int, newsletter_id: int) -> list[Subscription]:
    """Return what is active, and waits for no word of the reader."""
    active = Subscription.state == SubscriptionState.ACTIVE.value
    return list(session.scalars(_of(reader_id, newsletter_id).where(active, ~waits())))


def _of(reader_id: int, newsletter_id: int) -> Select[Subscription]:
    return (
        select(Subscription)
        .join(Subscription.purpose)
        .where(
            Subscription.subscriber_id == reader_id,
            Subscription.newsletter_id == newsletter_id,
        )
        .order_by(Purpose.position)
    )


def _confirmation_sent(session: Session, token: Token) -> int | None:
    """Return the delivery that carried the link, the latest where there are several."""
    return session.scalar(
        select(delivery.c.id)
        .where(
            delivery.c.subscriber_id == token.subscriber_id,
            delivery.c.newsletter_id == token.newsletter_id,
            delivery.c.kind == DeliveryKind.CONFIRMATION.value,
            delivery.c.serial == token.serial,
        )
        .order_by(delivery.c.id.desc())
        .limit(1)
    )


def _confirmations_since(
    session: Session, reader_id: int, newsletter_id: int, now: datetime
) -> int:
    return (
        session.scalar(
            select(func.count()).where(
                delivery.c.subscriber_id == reader_id,
                delivery.c.newsletter_id == newsletter_id,
                delivery.c.kind == DeliveryKind.CONFIRMATION.value,
                delivery.c.created_at > now - timedelta(days=1),
            )
        )
        or 0
    )
