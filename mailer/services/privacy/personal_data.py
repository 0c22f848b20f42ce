"""Everything about one person, for that person (articles 15 and 20 GDPR).

docs/reference/personal-data.md describes the document; its names are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, or_, select
from sqlalchemy.orm import Session

from mailer.domain.addresses import EmailAddress, address_hash
from mailer.domain.consent import ConsentState
from mailer.domain.deliveries import MAY_HAVE_ARRIVED
from mailer.services.newsletters.topics import topics_chosen
from mailer.services.privacy.data_rights import rights
from mailer.services.privacy.practice import Practice, contact, controller, recipients, retention
from mailer.services.readers.readers import UnknownReader, consent_events
from mailer.store.ledger import attempts_of, mails_of
from mailer.store.models import (
    Campaign,
    Digest,
    Erasure,
    Feedback,
    Newsletter,
    Notice,
    OperatorAction,
    Purpose,
    ReplacedContent,
    Seed,
    Subscriber,
    Subscription,
    Variant,
)
from mailer.store.readers import find_reader
from mailer.store.suppressions import standing

FORMAT = "newsroom-mailer/personal-data"
VERSION = 1

_HASH = "address_hash"
_ASKS = (ConsentState.REQUESTED, ConsentState.GIVEN, ConsentState.RENEWED)


def personal_data_of(
    session: Session, address: EmailAddress, practice: Practice, *, now: datetime
) -> dict[str, Any]:
    """Return everything about whoever has this address; raises UnknownReader where it is nothing.

    Somebody who was erased, or never was a reader, may still be suppressed, or have had a test.
    """
    key = practice.suppression_key
    reader = find_reader(session, address, key)
    if reader is not None:
        return personal_data(session, reader, practice, now=now)
    document = _document(session, None, address_hash(address, key), practice, now)
    kept = ("mails", "suppressions", "house_roles", "erasures")
    if not any(document[member] for member in kept):
        raise UnknownReader(
            f"Nothing is kept about {address}: no reader, no suppression, no test mail."
        )
    return document


def personal_data(
    session: Session, reader: Subscriber, practice: Practice, *, now: datetime
) -> dict[str, Any]:
    """Return everything about a reader, as plain values; times are aware."""
    return _document(session, reader, reader.address_hash, practice, now)


def as_json(document: object) -> str:
    """Return the document as JSON text; times are ISO 8601 in UTC."""
    return json.dumps(document, ensure_ascii=False, indent=2, default=_plain) + "\n"


def _document(
    session: Session, reader: Subscriber | None, hashed: str, practice: Practice, now: datetime
) -> dict[str, Any]:
    events = _events(session, reader) if reader else []
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_at": now,
        "controller": controller(session),
        "person": _person(reader) if reader else None,
        "subscriptions": _subscriptions(session, reader) if reader else [],
        "topics": [
            {"newsletter": newsletter, "topic": topic}
            for newsletter, topic in (topics_chosen(session, reader) if reader else ())
        ],
        "consent_events": events,
        "mails": _mails(session, reader, hashed, practice),
        "feedback": _feedback(session, reader, practice) if reader else [],
        "suppressions": [
            {
                "scope": each.scope,
                "reason": each.reason,
                "detail": each.detail,
                "since": each.created_at,
            }
            for each in standing(session, hashed)
        ],
        "house_roles": _house_roles(session, hashed),
        "erasures": [
            {"at": each.at, "method": each.method}
            for each in session.scalars(
                select(Erasure).where(Erasure.address_hash == hashed).order_by(Erasure.id)
            )
        ],
        "operator_actions": _actions(session, reader, hashed),
        "origins": _origins(events),
        "recipients": recipients(session, practice),
        "retention": retention(practice),
        "rights": rights(contact(session)),
    }


def _house_roles(session: Session, hashed: str) -> list[dict[str, Any]]:
    """Return what the address does for the house: a seed, or who approves a digest."""
    seeds = select(Seed.added_at, Newsletter.slug).join(
        Newsletter, Newsletter.id == Seed.newsletter_id
    )
    digests = session.scalars(
        select(Digest).where(Digest.approve_hash == hashed).order_by(Digest.id)
    )
    return [
        *(
            {"role": "seed", "newsletter": slug, "digest": None, "since": since}
            for since, slug in session.execute(
                seeds.where(Seed.address_hash == hashed).order_by(Seed.id)
            )
        ),
        *(
            {
                "role": "approver",
                "newsletter": digest.newsletter.slug,
                "digest": digest.slug,
                "since": None,
            }
            for digest in digests
        ),
    ]


def _person(reader: Subscriber) -> dict[str, Any]:
    return {
        "subscriber_id": reader.id,
        "email": reader.email,
        "name": reader.name,
        "locale": reader.locale,
        "timezone": reader.timezone,
        "attributes": dict(reader.attributes),
        "receiving_provider": reader.provider,
        "known_since": reader.created_at,
    }


def _subscriptions(session: Session, reader: Subscriber) -> list[dict[str, Any]]:
    rows = session.execute(
        select(Subscription, Purpose, Newsletter)
        .join(Purpose, Purpose.id == Subscription.purpose_id)
        .join(Newsletter, Newsletter.id == Purpose.newsletter_id)
        .where(Subscription.subscriber_id == reader.id)
        .order_by(Newsletter.slug, Purpose.position)
    )
    return [
        {
            "newsletter": newsletter.slug,
            "newsletter_name": newsletter.name,
            "purpose": purpose.slug,
            "label": purpose.label(reader.locale or newsletter.locale, newsletter.locale),
            "kind": purpose.kind,
            "state": subscription.state,
            "since": subscription.since,
            "valid_until": subscription.valid_until,
            "said_at_sign_up": {name: said for name, said in subscription.details.items() if said},
        }
        for subscription, purpose, newsletter in rows
    ]


def _events(session: Session, reader: Subscriber) -> list[dict[str, Any]]:
    events = consent_events(session, reader)
    hashes = {event["notice"]["sha256"] for event in events if event["notice"]}
    notices = {
        notice.sha256: notice
        for notice in session.scalars(select(Notice).where(Notice.sha256.in_(hashes)))
    }
    return [
        {**event, "notice": _wording(event["notice"], notices) if event["notice"] else None}
        for event in events
    ]


def _wording(shown: dict[str, Any], notices: dict[str, Notice]) -> dict[str, Any]:
    """Add to the name of a notice all that the reader read."""
    notice = notices[shown["sha256"]]
    return {
        **shown,
        "published_at": notice.published_at,
        "text": notice.text,
        "purposes": notice.purposes,
        "controller": notice.controller,
        "links": notice.links,
    }


def _mails(
    session: Session, reader: Subscriber | None, hashed: str, practice: Practice
) -> list[dict[str, Any]]:
    mails = mails_of(session, reader.id if reader else None, hashed)
    tries: dict[int, list[dict[str, Any]]] = {}
    for each in attempts_of(session, [(mail.period, mail.id) for mail in mails]):
        tries.setdefault(each.delivery_id, []).append(
            {
                "at": each.at,
                "relay": each.relay,
                "outcome": each.outcome,
                "stage": each.stage,
                "reply": each.reply,
            }
        )
    subjects = _subjects(session, mails)
    newsletters = dict(session.execute(select(Newsletter.id, Newsletter.slug)).all())
    return [
        {
            "message_id": practice.message_id_of(mail.id),
            "newsletter": newsletters.get(mail.newsletter_id),
            "kind": mail.kind,
            "subject": subjects.get(mail.id),
            "state": mail.state,
            "queued_at": mail.created_at,
            "settled_at": mail.settled_at,
            "last_reply": mail.last_reply,
            "relay_queue_id": mail.relay_queue_id,
            "attempts": tries.get(mail.id, []),
        }
        for mail in mails
    ]


def _subjects(session: Session, mails: Sequence[Row[Any]]) -> dict[int, str]:
    """Return the subject of each campaign's mail as the reader got it, corrected since or not."""
    campaigns = {mail.campaign_id for mail in mails if mail.campaign_id}
    now = dict(
        session.execute(
            select(Campaign.id, Campaign.subject).where(Campaign.id.in_(campaigns))
        ).all()
    )
    replaced = (
        select(Variant.id, ReplacedContent.subject)
        .join(
            ReplacedContent,
            (ReplacedContent.campaign_id == Variant.campaign_id)
            & (ReplacedContent.version == Variant.version),
        )
        .where(Variant.campaign_id.in_(campaigns))
    )
    before = dict(session.execute(replaced).all())
    return {
        mail.id: (before.get(mail.variant_id) if mail.state in MAY_HAVE_ARRIVED else None)
        or now[mail.campaign_id]
        for mail in mails
        if mail.campaign_id in now
    }


def _feedback(session: Session, reader: Subscriber, practice: Practice) -> list[dict[str, Any]]:
    rows = session.scalars(
        select(Feedback)
        .where(Feedback.subscriber_id == reader.id)
        .order_by(Feedback.received_at, Feedback.id)
    )
    return [
        {
            "at": each.received_at,
            "kind": each.kind,
            "status": each.status,
            "detail": each.detail,
            "source": each.source,
            "message_id": practice.message_id_of(each.delivery_id) if each.delivery_id else None,
        }
        for each in rows
    ]


def _actions(session: Session, reader: Subscriber | None, hashed: str) -> list[dict[str, Any]]:
    """Return what was done and when, looks too; who did it is the staff's own data."""
    about = [OperatorAction.details[_HASH].as_string() == hashed]
    if reader is not None:
        about.append(OperatorAction.subscriber_id == reader.id)
    rows = session.scalars(select(OperatorAction).where(or_(*about)).order_by(OperatorAction.id))
    return [
        {
            "at": each.at,
            "action": each.action,
            "details": {name: said for name, said in each.details.items() if name != _HASH},
        }
        for each in rows
    ]


def _origins(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return where the data come from (article 15 (1) (g)): each source once, the first first."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for event in events:
        if event["state"] not in _ASKS:
            continue
        evidence = event["evidence"]
        source = evidence.get("source") or evidence.get("page_url") or ""
        key = (event["newsletter"], event["method"], source)
        if key not in found:
            found[key] = {
                "newsletter": event["newsletter"],
                "method": event["method"],
                "source": source,
                "at": event["at"],
                "stated_at": event["stated_at"],
                "basis": event["basis"],
            }
    return list(found.values())


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def reading_habits(session: Session, document: Mapping[str, Any]) -> tuple[str, str]:
    """Return the locale and time zone to write the document's dates in: the reader's, if known.

    Else those of the first newsletter they have to do with.
    """
    person = document["person"] or {"locale": "", "timezone": ""}
    slugs = [each["newsletter"] for each in document["subscriptions"]]
    newsletter = session.scalar(
        select(Newsletter).where(Newsletter.slug.in_(slugs)).order_by(Newsletter.id).limit(1)
    )
    return (
        person["locale"] or (newsletter.locale if newsletter else "en"),
        person["timezone"] or (newsletter.timezone if newsletter else "UTC"),
    )
