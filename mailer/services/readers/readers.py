"""What is known of one reader: where they stand, what they said, what they were sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from mailer.domain.addresses import address_hash, parse_address
from mailer.domain.consent import SubscriptionState
from mailer.domain.deliveries import MAY_HAVE_ARRIVED
from mailer.domain.errors import Refusal
from mailer.domain.suppression import SCOPE_ALL
from mailer.services.installation.trail import acts_on
from mailer.services.newsletters.lookup import as_id
from mailer.services.newsletters.topics import topics_chosen
from mailer.store.models import (
    Campaign,
    ConsentEvent,
    ConsentEvidence,
    Feedback,
    Newsletter,
    Notice,
    Purpose,
    ReplacedContent,
    Subscriber,
    Subscription,
    Variant,
    attempt,
    delivery,
)
from mailer.store.readers import find_reader
from mailer.store.suppressions import standing
from mailer.store.vault import Vault

_PAGE = 1_000


class UnknownReader(Refusal):
    """No reader has this address or id."""


def require_reader(session: Session, address_or_id: str, key: bytes) -> Subscriber:
    """Return the reader; raises UnknownReader, or BadAddress where the text is neither."""
    reader_id = as_id(address_or_id)
    if reader_id is not None:
        reader = session.get(Subscriber, reader_id)
    else:
        reader = find_reader(session, parse_address(address_or_id), key)
    if reader is None:
        raise _unknown(address_or_id)
    return reader


def require_readers(
    session: Session, addresses_or_ids: Sequence[str], key: bytes
) -> list[tuple[int, str]]:
    """Return number and address of each reader named; raises as `require_reader` does."""
    found: list[tuple[int, str]] = []
    for begin in range(0, len(addresses_or_ids), _PAGE):
        named = addresses_or_ids[begin : begin + _PAGE]
        hashed = {
            each: address_hash(parse_address(each), key) for each in named if as_id(each) is None
        }
        known = select(Subscriber.id, Subscriber.email, Subscriber.address_hash).where(
            or_(
                Subscriber.address_hash.in_(hashed.values()),
                Subscriber.id.in_([as_id(each) for each in named if each not in hashed]),
            )
        )
        rows = session.execute(known).all()
        by_key: dict[str | int, tuple[int, str]] = {}
        for row in rows:
            by_key[row.address_hash] = by_key[row.id] = (row.id, row.email)
        for each in named:
            reader = by_key.get(hashed.get(each) or as_id(each) or 0)
            if reader is None:
                raise _unknown(each)
            found.append(reader)
    return found


def _unknown(address_or_id: str) -> UnknownReader:
    return UnknownReader(
        f"No reader “{address_or_id}”: see `mailer subscriber list`, or add them with "
        "`mailer subscriber add`."
    )


def show_reader(session: Session, reader: Subscriber) -> dict[str, Any]:
    """Return where the reader stands, as `mailer subscriber show --json` prints it."""
    rows = session.execute(
        select(Subscription, Purpose.slug, Newsletter.slug)
        .join(Purpose, Purpose.id == Subscription.purpose_id)
        .join(Newsletter, Newsletter.id == Purpose.newsletter_id)
        .where(Subscription.subscriber_id == reader.id)
        .order_by(Newsletter.slug, Purpose.position)
    ).all()
    suppressions = standing(session, reader.address_hash)
    states = {subscription.state for subscription, _, _ in rows}
    suppressed = any(suppression.scope == SCOPE_ALL for suppression in suppressions)
    return {
        "email": reader.email,
        "subscriber_id": reader.id,
        "name": reader.name,
        "locale": reader.locale,
        "timezone": reader.timezone,
        "attributes": dict(reader.attributes),
        "topics": [
            {"newsletter": newsletter, "topic": topic}
            for newsletter, topic in topics_chosen(session, reader)
        ],
        "state": "suppressed" if suppressed else overall(states),
        "subscriptions": [
            {
                "newsletter": newsletter,
                "purpose": purpose,
                "state": subscription.state,
                "since": subscription.since,
            }
            for subscription, purpose, newsletter in rows
        ],
        "suppressions": [
            {
                "scope": suppression.scope,
                "reason": suppression.reason,
                "detail": suppression.detail,
                "since": suppression.created_at,
            }
            for suppression in suppressions
        ],
    }


def consent_events(session: Session, reader: Subscriber) -> list[dict[str, Any]]:
    """Return what the reader said, oldest first, with the wording and the evidence."""
    vault = Vault.of(session)
    key = vault.open_key(reader.sealed_key)
    rows = session.execute(
        select(ConsentEvent, Purpose.slug, Newsletter.slug, Notice, ConsentEvidence)
        .join(Purpose, Purpose.id == ConsentEvent.purpose_id)
        .join(Newsletter, Newsletter.id == ConsentEvent.newsletter_id)
        .outerjoin(Notice, Notice.id == ConsentEvent.notice_id)
        .outerjoin(ConsentEvidence, ConsentEvidence.event == ConsentEvent.id)
        .where(ConsentEvent.subscriber_id == reader.id)
        .order_by(ConsentEvent.id)
    )
    return [
        {
            "event_id": event.event_id,
            "at": event.at,
            "newsletter": newsletter,
            "purpose": purpose,
            "state": event.state,
            "method": event.method,
            "notice": _notice(notice, event.notice_assumed),
            "basis": event.basis,
            "stated_at": event.stated_at,
            "valid_until": event.valid_until,
            "evidence": vault.open(key, event.event_id, evidence.sealed) if evidence else {},
        }
        for event, purpose, newsletter, notice, evidence in rows
    ]


def reader_history(
    session: Session, reader: Subscriber, *, message_id_of: Callable[[int], str]
) -> list[dict[str, Any]]:
    """Answer "why did I (not) get it?" in one timeline.

    Consents, deliveries, feedback, and what operators did to this reader.
    """
    happened = [
        {
            "at": event["at"],
            "kind": "consent",
            "newsletter": event["newsletter"],
            "what": f"{event['state']}: {event['purpose']} ({event['method']})",
            "message_id": None,
        }
        for event in consent_events(session, reader)
    ]
    happened += _deliveries(session, reader, message_id_of)
    happened += [
        {
            "at": feedback.received_at,
            "kind": "feedback",
            "newsletter": None,
            "what": f"{feedback.kind}: {feedback.detail or feedback.status}",
            "message_id": message_id_of(feedback.delivery_id) if feedback.delivery_id else None,
        }
        for feedback in session.scalars(select(Feedback).where(Feedback.subscriber_id == reader.id))
    ]
    happened += [
        {
            "at": act.at,
            "kind": "operator",
            "newsletter": act.details.get("newsletter"),
            "what": f"{act.action} by {act.operator}",
            "message_id": None,
        }
        for act in acts_on(session, reader.id)
    ]
    return sorted(happened, key=_when)


def _deliveries(
    session: Session, reader: Subscriber, message_id_of: Callable[[int], str]
) -> list[dict[str, Any]]:
    rows = session.execute(
        select(
            delivery,
            func.coalesce(ReplacedContent.subject, Campaign.subject).label("subject"),
            ReplacedContent.version,
            Newsletter.slug.label("newsletter"),
        )
        .join(Newsletter, Newsletter.id == delivery.c.newsletter_id)
        .outerjoin(Campaign, Campaign.id == delivery.c.campaign_id)
        .outerjoin(Variant, Variant.id == delivery.c.variant_id)
        .outerjoin(
            ReplacedContent,
            and_(
                ReplacedContent.campaign_id == delivery.c.campaign_id,
                ReplacedContent.version == Variant.version,
                delivery.c.state.in_([state.value for state in MAY_HAVE_ARRIVED]),
            ),
        )
        .where(delivery.c.subscriber_id == reader.id)
    ).all()
    tries = session.execute(
        select(attempt, delivery.c.kind, Newsletter.slug.label("newsletter"))
        .join(delivery, delivery.c.id == attempt.c.delivery_id)
        .join(Newsletter, Newsletter.id == delivery.c.newsletter_id)
        .where(delivery.c.subscriber_id == reader.id)
    ).all()
    return [
        {
            "at": row.settled_at or row.created_at,
            "kind": "delivery",
            "newsletter": row.newsletter,
            "what": f"{row.kind} {row.state}{f': {row.subject}' if row.subject else ''}"
            f"{f' (version {row.version}, corrected since)' if row.version else ''}",
            "message_id": message_id_of(row.id),
        }
        for row in rows
    ] + [
        {
            "at": row.at,
            "kind": "attempt",
            "newsletter": row.newsletter,
            "what": f"{row.kind}{f' tried over {row.relay}' if row.relay else ''}: "
            f"{row.outcome} ({row.reply})",
            "message_id": message_id_of(row.delivery_id),
        }
        for row in tries
    ]


def overall(states: set[str]) -> str:
    """Return the best of the states, for one word about the reader."""
    return next((state.value for state in SubscriptionState if state.value in states), "none")


def _when(item: dict[str, Any]) -> datetime:
    at: datetime = item["at"]
    return at


def _notice(notice: Notice | None, assumed: bool) -> dict[str, Any] | None:
    if notice is None:
        return None
    return {
        "version": notice.version,
        "sha256": notice.sha256,
        "locale": notice.locale,
        "assumed": assumed,
    }
