"""Leaving and choosing: what a reader does with the links of a mail, or an operator for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.consent import ConsentState, SubscriptionState
from mailer.domain.tokens import TokenKind, TokenSigner
from mailer.services.newsletters.notices import current_notice, notice_by_hash
from mailer.services.newsletters.topics import TopicChoice, choose_topics, topic_choices, topics_of
from mailer.services.readers.agreed import Agreement, NewWording, agreements, new_wording
from mailer.store.consents import Evidence, ShownNotice, record
from mailer.store.models import Newsletter, Notice, Purpose, Subscriber, Subscription
from mailer.store.readers import lock_reader

_STANDING = (SubscriptionState.ACTIVE.value, SubscriptionState.PENDING.value)


@dataclass(frozen=True, slots=True)
class LeavePage:
    """What the leave page shows; it reads no profile."""

    newsletter: Newsletter
    active: bool


@dataclass(frozen=True, slots=True)
class PurposeChoice:
    """One box on the preference page."""

    slug: str
    label: str
    kind: str
    active: bool


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the preference page shows."""

    newsletter: Newsletter
    email: str
    name: str
    locale: str
    purposes: tuple[PurposeChoice, ...]
    notice: Notice | None
    token: str = ""
    topics: tuple[TopicChoice, ...] = ()
    new_wording: NewWording | None = None
    """What has changed since the reader agreed."""
    wording_unknown: bool = False
    """Nothing was saved: what was asked for would need the wording that is shown now."""


def open_leave(session: Session, signer: TokenSigner, text: str) -> LeavePage | None:
    """Return what the link would end; changes nothing. None: not a link of ours.

    A reader who has been erased since is one who has left.
    """
    token = signer.read(text, TokenKind.UNSUBSCRIBE)
    newsletter = session.get(Newsletter, token.newsletter_id) if token else None
    if token is None or newsletter is None:
        return None
    return LeavePage(newsletter, bool(_standing(session, token.subscriber_id, newsletter.id)))


def leave(
    session: Session, signer: TokenSigner, text: str, evidence: Evidence, *, now: datetime
) -> LeavePage | None:
    """Withdraw from every purpose of the newsletter; a second time changes nothing."""
    token = signer.read(text, TokenKind.UNSUBSCRIBE)
    if token is None:
        return None
    reader = lock_reader(session, token.subscriber_id)
    if reader is not None:
        withdraw(session, reader, evidence, newsletter_id=token.newsletter_id, now=now)
    session.flush()
    return open_leave(session, signer, text)


def open_preferences(session: Session, signer: TokenSigner, text: str) -> Preferences | None:
    """Return the reader's choices; changes nothing. None: not a link of ours, or erased."""
    token = signer.read(text, TokenKind.PREFERENCES)
    newsletter = session.get(Newsletter, token.newsletter_id) if token else None
    reader = session.get(Subscriber, token.subscriber_id) if token else None
    if newsletter is None or reader is None:
        return None
    locale = reader.locale or newsletter.locale
    notice = current_notice(session, newsletter, locale)
    return Preferences(
        newsletter=newsletter,
        email=reader.email,
        name=reader.name,
        locale=locale,
        purposes=tuple(_choices(session, newsletter, reader.id, notice, locale)),
        notice=notice,
        token=text,
        topics=topic_choices(session, newsletter, locale, reader),
        new_wording=new_wording(session, newsletter, reader.id, notice),
    )


def save_preferences(
    session: Session,
    signer: TokenSigner,
    text: str,
    *,
    wanted: frozenset[str],
    notice_sha256: str | None,
    name: str | None,
    locale: str | None,
    evidence: Evidence,
    now: datetime,
    topics: frozenset[str] | None = None,
) -> Preferences | None:
    """Give, renew and withdraw what the boxes say; whoever holds the link holds the mailbox.

    A box that stays ticked renews the consent once, where the page showed a newer wording.
    Only what the wording on the page offered can be given; under a wording that nobody knows,
    nothing is (an absent one is taken for the current one, and recorded as assumed). A request
    that still waits for its confirmation is no ticked box, and an unticked one leaves it alone.
    `topics` None: the page showed none, and they stay as they are.
    """
    token = signer.read(text, TokenKind.PREFERENCES)
    newsletter = session.get(Newsletter, token.newsletter_id) if token else None
    reader = lock_reader(session, token.subscriber_id) if token else None
    if newsletter is None or reader is None:
        return None
    shown = _shown(session, newsletter, notice_sha256, locale or reader.locale)
    offered = {purpose["slug"] for purpose in shown.notice.purposes} if shown else set()
    agreed = agreements(session, reader.id, newsletter.id)
    gained = wanted - {each.slug for each in newsletter.purposes if each.id in agreed}
    if shown is None and gained:
        page = open_preferences(session, signer, text)
        return replace(page, wording_unknown=True) if page else None
    reader.name = reader.name if name is None else name
    reader.locale = reader.locale if locale is None else locale
    if topics is not None:
        offered_topics = {topic.slug for topic in topics_of(session, newsletter)}
        choose_topics(session, reader, newsletter, topics & offered_topics)
    for purpose in newsletter.purposes:
        said = _said(agreed.get(purpose.id), shown, purpose.slug in wanted)
        if said is ConsentState.WITHDRAWN or (said and purpose.slug in offered):
            record(session, reader, purpose, said, evidence, now=now, shown=shown)
    session.flush()
    return open_preferences(session, signer, text)


def leave_all(
    session: Session, signer: TokenSigner, text: str, evidence: Evidence, *, now: datetime
) -> Preferences | None:
    """Withdraw from every purpose of the newsletter, and from what still waits to be confirmed."""
    token = signer.read(text, TokenKind.PREFERENCES)
    reader = lock_reader(session, token.subscriber_id) if token else None
    if token is None or reader is None:
        return None
    withdraw(session, reader, evidence, newsletter_id=token.newsletter_id, now=now)
    session.flush()
    return open_preferences(session, signer, text)


def withdraw(
    session: Session,
    reader: Subscriber,
    evidence: Evidence,
    *,
    now: datetime,
    newsletter_id: int | None = None,
    purpose_ids: Collection[int] | None = None,
) -> int:
    """Withdraw the reader (locked) from what is named, or from everything; return how many."""
    return sum(
        record(session, reader, subscription.purpose, ConsentState.WITHDRAWN, evidence, now=now)
        is not None
        for subscription in _standing(session, reader.id, newsletter_id)
        if purpose_ids is None or subscription.purpose_id in purpose_ids
    )


def _choices(
    session: Session, newsletter: Newsletter, reader_id: int, notice: Notice | None, locale: str
) -> Iterator[PurposeChoice]:
    """Yield the boxes in the wording's words and order, then whatever else the reader receives."""
    active = _active_ids(session, reader_id, newsletter.id)
    purposes = {purpose.slug: purpose for purpose in newsletter.purposes}
    for offered in notice.purposes if notice else ():
        purpose = purposes.pop(offered["slug"])
        yield PurposeChoice(purpose.slug, offered["label"], offered["kind"], purpose.id in active)
    for purpose in purposes.values():
        if purpose.id in active:
            label = purpose.label(locale, newsletter.locale)
            yield PurposeChoice(purpose.slug, label, purpose.kind, True)


def _said(agreed: Agreement | None, shown: ShownNotice | None, ticked: bool) -> ConsentState | None:
    """Return what a box says of a purpose that is active under `agreed`, or not at all."""
    if agreed is None:
        return ConsentState.GIVEN if ticked else None
    if not ticked:
        return ConsentState.WITHDRAWN
    return ConsentState.RENEWED if shown and agreed.is_renewed_by(shown) else None


def _shown(
    session: Session, newsletter: Newsletter, sha256: str | None, locale: str
) -> ShownNotice | None:
    """Return the wording that stood on the page; the current one, as assumed, if it is not said."""
    if sha256 is not None:
        said = notice_by_hash(session, newsletter, sha256)
        return ShownNotice(said) if said else None
    current = current_notice(session, newsletter, locale or newsletter.locale)
    return ShownNotice(current, assumed=True) if current else None


def _active_ids(session: Session, reader_id: int, newsletter_id: int) -> set[int]:
    return {
        subscription.purpose_id
        for subscription in _standing(session, reader_id, newsletter_id)
        if subscription.is_active
    }


def _standing(
    session: Session, reader_id: int, newsletter_id: int | None
) -> Iterable[Subscription]:
    statement = (
        select(Subscription)
        .join(Subscription.purpose)
        .where(Subscription.subscriber_id == reader_id, Subscription.state.in_(_STANDING))
        .order_by(Purpose.newsletter_id, Purpose.position)
    )
    if newsletter_id is not None:
        statement = statement.where(Subscription.newsletter_id == newsletter_id)
    return session.scalars(statement).all()
