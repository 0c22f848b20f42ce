"""Recording consent: the event, its evidence, the subscription and what it ends, in one piece.

`record` is the only function that changes a subscription, and so the only way to withdraw: it
closes this reader's open deliveries in the same transaction.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.domain.consent import (
    AGREES,
    CONFIRM_WITHIN,
    Basis,
    ConsentState,
    Method,
    SubscriptionState,
    asks_meanwhile,
    goes_on,
    next_state,
    withdraws,
)
from mailer.domain.leaves import Leaf, NoticeRef, commitment, commitment_key
from mailer.store.audience import waits, waits_since
from mailer.store.journal import Withdrawn, tell
from mailer.store.ledger import close_confirmations, close_for_purpose, close_questions
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    Newsletter,
    Notice,
    PendingLeaf,
    Purpose,
    Subscriber,
    Subscription,
)
from mailer.store.readers import ReaderDetails
from mailer.store.vault import Vault

_SAME_REQUEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where an act of consent came from; what is unknown is empty.

    `stated_at` is when the consent was given, where an operator or a list says so.
    """

    method: Method
    ip: str = ""
    user_agent: str = ""
    page_url: str = ""
    source: str = ""
    confirmation_message_id: str = ""
    basis: Basis = Basis.CONSENT
    stated_at: datetime | None = None
    valid_until: datetime | None = None

    def personal(self, address: str) -> dict[str, str]:
        """Return what of it is personal, under the names of `PERSONAL_FIELDS`."""
        return {
            "address": address,
            "ip": self.ip,
            "page_url": self.page_url[:2000],
            "user_agent": self.user_agent[:500],
            "source": self.source,
            "confirmation_message_id": self.confirmation_message_id,
        }


@dataclass(frozen=True, slots=True)
class ShownNotice:
    """The wording that the reader saw; `assumed` where the form did not say which."""

    notice: Notice
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One sign-up: its number, and what whoever filled in the form said of the reader.

    Its confirmation lists everything that is pending with this number or an older one, and its
    link confirms just that.
    """

    number: int
    details: ReaderDetails


def next_request(
    session: Session, reader: Subscriber, newsletter: Newsletter, details: ReaderDetails
) -> Request:
    """Return the next sign-up of the reader (locked by the caller) to this newsletter."""
    latest = session.scalar(
        select(func.max(Subscription.request)).where(
            Subscription.subscriber_id == reader.id, Subscription.newsletter_id == newsletter.id
        )
    )
    return Request((latest or 0) + 1, details)


def record(
    session: Session,
    reader: Subscriber,
    purpose: Purpose,
    state: ConsentState,
    evidence: Evidence,
    *,
    now: datetime,
    shown: ShownNotice | None = None,
    request: Request | None = None,
) -> SubscriptionState | None:
    """Record what the reader (locked by the caller) said; return the state that followed.

    An event that changes nothing is not recorded and returns None: pressing a button twice is
    saying it once. `request` goes with the state REQUESTED.
    """
    key = {"subscriber_id": reader.id, "purpose_id": purpose.id}
    subscription = session.get(Subscription, key, populate_existing=True)
    before = SubscriptionState(subscription.state) if subscription else None
    implied = subscription is not None and subscription.valid_until is not None
    after = next_state(before, state, evidence.method, implied=implied)
    if after is None:
        return None
    if subscription is None:
        subscription = Subscription(
            **key, newsletter_id=purpose.newsletter_id, request=0, details={}
        )
        session.add(subscription)
    if request is not None:
        subscription.details = asdict(request.details)
        asked = asked_at(session, subscription)
        if asked is None or now - asked >= CONFIRM_WITHIN:
            subscription.request = request.number
        elif not asks_anew(session, subscription, shown, now):
            return None
    if not goes_on(before, after):
        subscription.since = now
    if not asks_meanwhile(after, state):
        subscription.valid_until = evidence.valid_until
    subscription.state = after.value
    event_id = _write_event(session, reader, purpose, state, evidence, now, shown)
    if goes_on(before, after) and state.value in AGREES:
        close_questions(session, reader.id, purpose.id, now=now)
    if withdraws(after):
        if state is not ConsentState.EXPIRED:  # which time would repeat in a restored backup
            names = purpose.newsletter.slug, purpose.slug
            hashed, method = reader.address_hash, evidence.method
            tell(session, Withdrawn(now, hashed, *names, state, method, event_id))
        session.flush()
        close_for_purpose(session, reader.id, [purpose.id], now=now)
        if not _waits(session, reader.id, purpose.newsletter_id):
            close_confirmations(session, reader.id, purpose.newsletter_id, now=now)
    return after


def standing_notice(session: Session, reader_id: int, purpose_id: int) -> ShownNotice | None:
    """Return the wording under which the latest request for this purpose was made."""
    event = session.scalar(
        select(ConsentEvent)
        .where(
            ConsentEvent.subscriber_id == reader_id,
            ConsentEvent.purpose_id == purpose_id,
            ConsentEvent.state == ConsentState.REQUESTED.value,
        )
        .order_by(ConsentEvent.id.desc())
        .limit(1)
    )
    if event is None or event.notice_id is None:
        return None
    notice = session.get(Notice, event.notice_id)
    return ShownNotice(notice, event.notice_assumed) if notice else None


def asked_at(session: Session, subscription: Subscription) -> datetime | None:
    """Return when the reader was asked for what waits for their word; None: nothing waits."""
    if subscription.state == SubscriptionState.PENDING:
        return subscription.since
    if subscription.state != SubscriptionState.ACTIVE or subscription.valid_until is None:
        return None
    return session.scalar(
        select(waits_since()).where(
            Subscription.subscriber_id == subscription.subscriber_id,
            Subscription.purpose_id == subscription.purpose_id,
        )
    )


def asks_anew(
    session: Session, subscription: Subscription, shown: ShownNotice | None, now: datetime
) -> bool:
    """Say whether asking again says something new: another wording was shown, or a day passed."""
    asked = asked_at(session, subscription)
    if asked is None or now - asked > _SAME_REQUEST:
        return True
    before = standing_notice(session, subscription.subscriber_id, subscription.purpose_id)
    return (shown.notice.id if shown else None) != (before.notice.id if before else None)


def _waits(session: Session, reader_id: int, newsletter_id: int) -> bool:
    waiting = select(Subscription.purpose_id).where(
        Subscription.subscriber_id == reader_id,
        Subscription.newsletter_id == newsletter_id,
        waits(),
    )
    return session.scalar(waiting.limit(1)) is not None


def _write_event(
    session: Session,
    reader: Subscriber,
    purpose: Purpose,
    state: ConsentState,
    evidence: Evidence,
    now: datetime,
    shown: ShownNotice | None,
) -> str:
    event_id = new_event_id(now)
    vault = Vault.of(session)
    key = vault.open_key(reader.sealed_key)
    personal = evidence.personal(reader.email)
    leaf = Leaf(
        event_id=event_id,
        at=now,
        newsletter=purpose.newsletter.slug,
        purpose=purpose.slug,
        reader=reader.id,
        state=state.value,
        method=evidence.method.value,
        basis=evidence.basis.value,
        notice=notice_ref(shown),
        commitment=commitment(commitment_key(key, event_id), personal),
        stated_at=evidence.stated_at,
        valid_until=evidence.valid_until,
    )
    event = ConsentEvent(
        event_id=event_id,
        newsletter_id=purpose.newsletter_id,
        purpose_id=purpose.id,
        subscriber_id=reader.id,
        state=leaf.state,
        method=leaf.method,
        basis=leaf.basis,
        notice_id=shown.notice.id if shown else None,
        notice_assumed=shown.assumed if shown else False,
        at=now,
        stated_at=leaf.stated_at,
        valid_until=leaf.valid_until,
        commitment=leaf.commitment,
        leaf_hash=leaf.hash,
    )
    session.add(event)
    session.flush()
    sealed = vault.seal(key, event_id, personal)
    session.add_all([ConsentEvidence(event=event.id, sealed=sealed), PendingLeaf(event=event.id)])
    return event_id


def new_event_id(now: datetime) -> str:
    """Return an id that no other event has, in the order of time: a UUID of version 7 (RFC 9562).

    Ids in no order would touch every page of their index while a million readers are imported.
    """
    return event_id_of(int(now.timestamp() * 1000))


def event_id_of(milliseconds: int) -> str:
    """Return the id of an event so many milliseconds after 1970."""
    random = os.urandom(10).hex()  # of its 80 bits 74 are taken
    return f"{milliseconds:012x}7{random[:3]}{_VARIANT[random[3]]}{random[4:19]}"


_VARIANT = {f"{digit:x}": f"{8 | digit & 3:x}" for digit in range(16)}
"""A hexadecimal digit that begins with the two bits of the variant (RFC 9562 §4.1)."""


def notice_ref(shown: ShownNotice | None) -> NoticeRef | None:
    """Return the wording as a leaf names it."""
    if shown is None:
        return None
    notice = shown.notice
    return NoticeRef(notice.sha256, notice.version, notice.locale, shown.assumed)
