"""What a reader agreed to, as the standards write it down: ISO/IEC TS 27560:2023, Kantara 1.1.

One record is one reader's consent under one wording of one newsletter. docs/reference/
consent-export.md says what stands in every field.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailer.domain.consent import AGREES, Basis, Method
from mailer.domain.leaves import instant

SCHEMA_VERSION = "ISO/IEC TS 27560:2023"
RECEIPT_VERSION = "KI-CR-v1.1.0"
SUPERSEDED = "superseded"
_NOT_STATED = "not stated"

COLLECTED_BY: dict[str, str] = {
    Method.FORM: "form on a web page",
    Method.CONFIRM: "form on a web page, confirmed by the button behind a mailed link",
    Method.PREFERENCES: "preference page behind a mailed link",
    Method.CLI: "given elsewhere, entered by the publisher",
    Method.IMPORT: "given elsewhere, imported from a list",
    Method.API: "the publisher's own software",
}
_BOXES = frozenset({Method.FORM, Method.CONFIRM, Method.PREFERENCES})
_BY_READER = _BOXES | {Method.ONE_CLICK, Method.MAILTO, Method.API, Method.COMPLAINT}

_STORED = "the publisher's database; the evidence of each event is encrypted under the reader's key"
_RETAINED = (
    "until the consent has ended; the events of the consent itself until the reader asks to be "
    "forgotten"
)
_WITHDRAWN_BY = (
    "one click in every mail (RFC 8058)", "the preference page behind the link in every mail",
    "the publisher's contact",
)  # fmt: skip
_DATA: dict[str, tuple[str, ...]] = {
    "measurement": ("e-mail address", "which mails were opened"),
}
_ADDRESSED = ("e-mail address", "name, if given", "language", "time zone")
_CATEGORY = {"partner": "Marketing", "measurement": "Improve Performance"}


@dataclass(frozen=True, slots=True)
class RecordedNotice:
    """The wording, word for word, and where it points to."""

    id: str
    version: int
    sha256: str
    locale: str
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One consent event with its evidence and its place in the log."""

    event_id: str
    at: datetime
    purpose: str
    state: str
    method: str
    basis: str
    notice_sha256: str | None
    notice_assumed: bool
    stated_at: datetime | None
    valid_until: datetime | None
    evidence: Mapping[str, str]
    leaf_hash: bytes
    leaf_index: int | None


@dataclass(frozen=True, slots=True)
class RecordedPurpose:
    """One purpose, and where the reader stands with it after the record's last event.

    `state` is a SubscriptionState, or SUPERSEDED where a later record goes on.
    """

    slug: str
    label: str
    kind: str
    state: str


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """One reader's consent under one wording; `notice` is None where no wording is known."""

    reader: int
    email: str
    newsletter: str
    newsletter_name: str
    signup_url: str
    controller: Mapping[str, str]
    notice: RecordedNotice | None
    language: str
    purposes: tuple[RecordedPurpose, ...]
    events: tuple[RecordedEvent, ...]

    @property
    def record_id(self) -> str:
        """The record's name: its first event's, and so always the same."""
        return str(uuid.UUID(self.events[0].event_id))

    @property
    def receipt_id(self) -> str:
        """The name of this look at the record: another one after every event."""
        return str(uuid.uuid5(uuid.UUID(self.events[0].event_id), self.events[-1].event_id))

    @property
    def policy_url(self) -> str:
        """Where the publisher's policy stands, else the page with the wording."""
        return self.notice.url if self.notice else self.signup_url


def consent_record(record: ConsentRecord) -> dict[str, Any]:
    """Return the record in the structure of ISO/IEC TS 27560:2023."""
    return {
        "schema_version": SCHEMA_VERSION,
        "record_id": record.record_id,
        "receipt_id": record.receipt_id,
        "pii_principal_id": str(record.reader),
        "jurisdiction": record.controller.get("jurisdiction") or _NOT_STATED,
        "language": record.language,
        "controller": {
            name: record.controller.get(name, "") for name in ("name", "address", "contact")
        },
        "privacy_notice": _privacy_notice(record),
        "processing": [_processing(record, purpose) for purpose in record.purposes],
        "events": [_event(record.newsletter, event) for event in record.events],
        "proof": {
            "type": "Merkle tree of leaf hashes as in RFC 9162, SHA-256",
            "leaves": [
                {
                    "event_id": event.event_id,
                    "leaf_hash": event.leaf_hash.hex(),
                    "leaf_index": event.leaf_index,
                }
                for event in record.events
            ],
        },
    }


def consent_receipt(record: ConsentRecord) -> dict[str, Any] | None:
    """Return the record as a Kantara consent receipt 1.1; None where nothing was agreed to."""
    agreed = [event for event in record.events if event.state in AGREES]
    if not agreed:
        return None
    purposes = [
        purpose
        for purpose in record.purposes
        if any(event.purpose == purpose.slug for event in agreed)
    ]
    contact = record.controller.get("contact", "")
    return {
        "version": RECEIPT_VERSION,
        "jurisdiction": record.controller.get("jurisdiction") or _NOT_STATED,
        "consentTimestamp": int(agreed[-1].at.timestamp()),
        "collectionMethod": COLLECTED_BY.get(agreed[-1].method, agreed[-1].method),
        "consentReceiptID": record.receipt_id,
        "language": record.language,
        "piiPrincipalId": record.email,
        "piiControllers": [
            {
                "piiController": record.controller.get("name", ""),
                "onBehalf": False,
                "contact": contact or _NOT_STATED,
                "address": {"streetAddress": record.controller.get("address", "")},
                "email": contact if "@" in contact else _NOT_STATED,
                "phone": _NOT_STATED,
            }
        ],
        "policyUrl": record.policy_url,
        "services": [
            {
                "service": record.newsletter_name,
                "purposes": [_receipt_purpose(purpose, agreed) for purpose in purposes],
            }
        ],
        "sensitive": False,
        "spiCat": [],
    }


def _privacy_notice(record: ConsentRecord) -> dict[str, Any] | None:
    notice = record.notice
    if notice is None:
        return None
    shown = next(event for event in record.events if event.notice_sha256 == notice.sha256)
    return {
        "id": notice.id,
        "version": notice.version,
        "sha256": notice.sha256,
        "url": notice.url,
        "text": notice.text,
        "shown_at": instant(shown.at),
        "assumed": shown.notice_assumed,
    }


def _processing(record: ConsentRecord, purpose: RecordedPurpose) -> dict[str, Any]:
    mine = [event for event in record.events if event.purpose == purpose.slug]
    boxed = record.notice is not None and any(event.method in _BOXES for event in mine)
    agreed = [event for event in mine if event.state in AGREES]
    implied = bool(agreed) and agreed[-1].basis == Basis.IMPLIED
    return {
        "purpose": {
            "id": f"{record.newsletter}/{purpose.slug}",
            "label": purpose.label,
            "kind": purpose.kind,
        },
        "state": purpose.state,
        "lawful_basis": "implied consent" if implied else "consent",
        "control": {"label": purpose.label, "type": "checkbox", "default": "unchecked"}
        if boxed
        else None,
        "data_categories": list(_DATA.get(purpose.kind, _ADDRESSED)),
        "storage": _STORED,
        "retention": _RETAINED,
        "recipients": [
            record.controller.get("name", ""), "the mail servers that carry the mail",
        ],
        "withdrawal_method": list(_WITHDRAWN_BY),
    }  # fmt: skip


def _event(newsletter: str, event: RecordedEvent) -> dict[str, Any]:
    return {
        "id": event.event_id,
        "time": instant(event.at),
        "type": "implied" if event.basis == Basis.IMPLIED else "explicit",
        "state": event.state,
        "validity": {
            "stated_at": instant(event.stated_at) if event.stated_at else None,
            "valid_until": instant(event.valid_until) if event.valid_until else None,
        },
        "method": event.method,
        "entity": "pii_principal" if event.method in _BY_READER else "pii_controller",
        "purpose": f"{newsletter}/{event.purpose}",
        "evidence": {name: value for name, value in event.evidence.items() if value},
    }


def _receipt_purpose(purpose: RecordedPurpose, agreed: Sequence[RecordedEvent]) -> dict[str, Any]:
    last = [event for event in agreed if event.purpose == purpose.slug][-1]
    return {
        "purpose": purpose.label,
        "purposeCategory": [_CATEGORY.get(purpose.kind, "Contact Requested")],
        "consentType": "IMPLICIT" if last.basis == Basis.IMPLIED else "EXPLICIT",
        "piiCategory": list(_DATA.get(purpose.kind, _ADDRESSED)),
        "primaryPurpose": purpose.kind == "editorial",
        "termination": "; ".join(_WITHDRAWN_BY),
        "thirdPartyDisclosure": False,
    }
