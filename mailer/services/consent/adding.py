"""Recording consent that was given elsewhere: by an operator, from an earlier list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from mailer.domain.addresses import EmailAddress, address_hash
from mailer.domain.consent import ConsentState, SubscriptionState
from mailer.services.consent.signup import send_confirmation
from mailer.services.mails.renderer import Renderer
from mailer.services.newsletters.lookup import find_purpose
from mailer.services.newsletters.notices import current_notice
from mailer.services.newsletters.topics import choose_topics, find_topic
from mailer.store.consents import Evidence, ShownNotice, next_request, record
from mailer.store.models import Newsletter, Subscription
from mailer.store.readers import ReaderDetails, find_or_add_reader
from mailer.store.suppressions import standing


class AddOutcome(StrEnum):
    """What became of a reader whom an operator added."""

    ADDED = "added"
    ASKED = "asked to confirm"
    ALREADY = "subscribed already"
    STAYS_AWAY = "has left before, and only the reader can come back"
    SUPPRESSED = "is suppressed: nothing was recorded"


def add_reader(
    session: Session,
    newsletter: Newsletter,
    address: EmailAddress,
    *,
    purposes: Sequence[str],
    details: ReaderDetails,
    attributes: Mapping[str, str],
    evidence: Evidence,
    renderer: Renderer,
    confirm: bool,
    suppression_key: bytes,
    now: datetime,
) -> AddOutcome:
    """Record the consent: active at once, or with `confirm` pending and asked by mail.

    Who has left stays away, whatever a list says; raises NotFound for an unknown purpose, and
    UnknownTopic.
    """
    wanted = [find_purpose(session, newsletter, slug) for slug in purposes]
    for topic in details.topics:
        find_topic(session, newsletter, topic)
    if standing(session, address_hash(address, suppression_key), newsletter.slug):
        return AddOutcome.SUPPRESSED
    reader = find_or_add_reader(session, address, suppression_key, details, now=now)
    if attributes:
        reader.attributes = {**reader.attributes, **attributes}
    if details.topics and not confirm:
        choose_topics(session, reader, newsletter, details.topics)
    state, shown = ConsentState.GIVEN, None
    if confirm:
        state = ConsentState.REQUESTED
        notice = current_notice(session, newsletter, details.locale or newsletter.locale)
        shown = ShownNotice(notice, assumed=True) if notice else None
    request = next_request(session, reader, newsletter, details) if confirm else None
    followed = [
        record(session, reader, purpose, state, evidence, now=now, shown=shown, request=request)
        for purpose in wanted
    ]
    session.flush()
    if any(followed):
        if confirm:
            send_confirmation(session, reader, newsletter, renderer=renderer, now=now)
        return AddOutcome.ASKED if confirm else AddOutcome.ADDED
    stands = [
        session.get_one(Subscription, {"subscriber_id": reader.id, "purpose_id": purpose.id})
        for purpose in wanted
    ]
    if all(found.state in _STANDS for found in stands):
        return AddOutcome.ALREADY
    return AddOutcome.STAYS_AWAY


_STANDS = (SubscriptionState.ACTIVE.value, SubscriptionState.PENDING.value)
