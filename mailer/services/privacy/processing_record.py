"""The record of processing activities (article 30 (1) GDPR), as the installation really is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from mailer.domain.consent import SubscriptionState
from mailer.domain.relays import Security
from mailer.domain.urls import is_loopback
from mailer.services.newsletters.newsletters import list_newsletters
from mailer.services.privacy.practice import Practice, controller, recipients, retention
from mailer.store.models import (
    Erasure,
    Installation,
    Newsletter,
    Purpose,
    Subscriber,
    Subscription,
    Suppression,
)

FORMAT = "newsroom-mailer/processing-record"
VERSION = 1
TO_BE_ADDED = "to be added"

_CONSENT = "consent (article 6 (1) (a))"
_IMPLIED = "an existing relation that ends by itself, where consent is not given (implied consent)"
_ACCOUNTABILITY = "accountability (article 5 (2)) and legitimate interest (article 6 (1) (f))"
_OBLIGATION = "legal obligation to respect objection and erasure (article 6 (1) (c))"


class Safeguard(NamedTuple):
    """One technical measure, whether it is in place, and how that is known."""

    measure: str
    in_place: bool
    how: str


def processing_record(
    session: Session, practice: Practice, safeguards: Sequence[Safeguard], *, now: datetime
) -> dict[str, Any]:
    """Return the record as plain values; what only people know says `TO_BE_ADDED`."""
    relays = recipients(session, practice)
    responsible = {name: value or TO_BE_ADDED for name, value in controller(session).items()}
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_at": now,
        "controller": {
            **responsible,
            "representative": TO_BE_ADDED,
            "data_protection_officer": TO_BE_ADDED,
        },
        "activities": [_newsletter(session, each) for each in list_newsletters(session)]
        + _besides(session),
        "data_subjects": _data_subjects(session),
        "data_categories": _categories(practice),
        "recipients": [{**each, "country": _country(each["host"])} for each in relays],
        "transfers": "The relays above are the only ones who are given personal data. Whether one "
        f"of them stands in a third country, and under which safeguards: {TO_BE_ADDED}.",
        "retention": retention(practice),
        "security": [each._asdict() for each in (*_always(relays), *safeguards)],
        "last_retention_run": session.scalar(select(Installation.retained_at)),
    }


def _newsletter(session: Session, newsletter: Newsletter) -> dict[str, Any]:
    return {
        "activity": f"Newsletter {newsletter.name}",
        "newsletter": newsletter.slug,
        "purposes": [_purpose(session, newsletter, each) for each in newsletter.purposes],
        "privacy_policy": newsletter.privacy_url or TO_BE_ADDED,
    }


def _purpose(session: Session, newsletter: Newsletter, purpose: Purpose) -> dict[str, Any]:
    standing = (
        Subscription.purpose_id == purpose.id,
        Subscription.state == SubscriptionState.ACTIVE.value,
    )
    readers = session.scalar(select(func.count()).where(*standing)) or 0
    implied = session.scalar(
        select(exists().where(*standing, Subscription.valid_until.is_not(None)))
    )
    return {
        "purpose": purpose.slug,
        "what_for": purpose.label(newsletter.locale, newsletter.locale),
        "kind": purpose.kind,
        "lawful_basis": [_CONSENT, *([_IMPLIED] if implied else [])],
        "readers": readers,
    }


def _besides(session: Session) -> list[dict[str, Any]]:
    return [
        {
            "activity": "Proof of consent",
            "newsletter": None,
            "purposes": [
                {
                    "purpose": "proof",
                    "what_for": "show who agreed to what, when, and in which words",
                    "kind": "obligation",
                    "lawful_basis": ["accountability (articles 5 (2) and 7 (1))"],
                    "readers": session.scalar(select(func.count()).select_from(Subscriber)) or 0,
                }
            ],
            "privacy_policy": None,
        },
        {
            "activity": "Do-not-mail list",
            "newsletter": None,
            "purposes": [
                {
                    "purpose": "suppression",
                    "what_for": "write to nobody who objected, complained, was erased or cannot be "
                    "reached (keyed hashes of addresses)",
                    "kind": "obligation",
                    "lawful_basis": [_OBLIGATION],
                    "readers": session.scalar(select(func.count()).select_from(Suppression)) or 0,
                }
            ],
            "privacy_policy": None,
        },
        {
            "activity": "Audit trail of operators",
            "newsletter": None,
            "purposes": [
                {
                    "purpose": "audit",
                    "what_for": "know which of the staff did what to readers' data",
                    "kind": "obligation",
                    "lawful_basis": [_ACCOUNTABILITY],
                    "readers": None,
                }
            ],
            "privacy_policy": None,
        },
    ]


def _data_subjects(session: Session) -> list[dict[str, Any]]:
    def in_state(*states: SubscriptionState) -> int:
        wanted = [state.value for state in states]
        counted = select(func.count(Subscription.subscriber_id.distinct()))
        return session.scalar(counted.where(Subscription.state.in_(wanted))) or 0

    state = SubscriptionState
    return [
        {"who": "readers with a standing consent", "number": in_state(state.ACTIVE)},
        {"who": "people who were asked to confirm", "number": in_state(state.PENDING)},
        {
            "who": "people who left, refused or did not confirm (of at least one purpose)",
            "number": in_state(state.LEFT, state.REFUSED, state.EXPIRED),
        },
        {
            "who": "people who were erased (a keyed hash of the address is kept)",
            "number": session.scalar(select(func.count()).select_from(Erasure)) or 0,
        },
        {"who": "the publisher's staff who operate the service", "number": None},
    ]


def _categories(practice: Practice) -> list[dict[str, str]]:
    kept = "until the person is erased"
    return [
        {"category": "identity", "data": "address, name, language, time zone, attributes that the "
         "publisher entered", "kept": kept},
        {"category": "choices", "data": "what they receive, since when; topics", "kept": kept},
        {"category": "proof of consent", "data": "what they said, when and how; the words they "
         "were shown; IP address, browser, page, source: sealed under a key of the reader's own",
         "kept": kept},
        {"category": "mails", "data": "which mail, when, what became of it", "kept": kept},
        *(
            {"category": period.rule.kind.value, "data": period.rule.what,
             "kept": kept if period.days is None else f"{period.days} days from "
             f"{period.rule.counts_from}"}
            for period in practice.periods.values()
        ),
        {"category": "do-not-mail list", "data": "keyed hash of the address, reason, date",
         "kept": "without end"},
        {"category": "staff", "data": "account name and machine of who acted, when, what",
         "kept": "as the audit trail above"},
        {"category": "special categories (article 9)", "data": "none are asked for; that a person "
         "reads a newsletter may say something about opinions", "kept": "as above"},
    ]  # fmt: skip


def _always(relays: Sequence[dict[str, Any]]) -> list[Safeguard]:
    """Return what holds in every installation, and what hangs on the relays."""
    found = [
        Safeguard(
            "evidence of consent is encrypted",
            True,
            "AES-256-GCM under a key for each reader, sealed under MAILER_EVIDENCE_KEY; an erasure "
            "destroys the reader's key",
        ),
        Safeguard("what was said cannot be changed unseen", True, "a Merkle log, checked by audit"),
        Safeguard("suppressed addresses are pseudonymous", True, "keyed hashes (HMAC-SHA-256)"),
        Safeguard("links are signed and name nobody", True, "HMAC, 128 bits"),
        Safeguard("opens and clicks of single readers are not recorded", True, "no such code"),
        Safeguard("acts of operators are written down", True, "the audit trail"),
    ]
    for relay in relays:
        secure = relay["tls"] != Security.NONE.value or is_loopback(relay["host"])
        found.append(Safeguard(f"TLS to relay {relay['name']}", secure, f"{relay['host']}: tls="
                               f"{relay['tls']}"))  # fmt: skip
    return found


def _country(host: str) -> str:
    return "not outside" if host == "this machine" else TO_BE_ADDED
