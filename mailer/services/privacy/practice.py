"""How this installation treats personal data: who is responsible, who gets it, how long it stays.

The same words for readers (`personal_data`) and for authorities (`processing_record`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.marking import N_
from mailer.domain.relays import RelayConfig, parse_relay_url
from mailer.domain.retention import Periods
from mailer.services.newsletters.newsletters import list_newsletters
from mailer.store.models import Publisher, Relay
from mailer.store.relays import DEFAULT_RELAY


@dataclass(frozen=True, slots=True)
class Practice:
    """What the settings say of it, and how mails are named."""

    periods: Periods
    smtp_url: str | None
    public_url: str
    suppression_key: bytes
    message_id_of: Callable[[int], str]


def controller(session: Session) -> dict[str, str]:
    """Return who is responsible (article 4 (7) GDPR); what was not entered is empty."""
    publisher = session.get(Publisher, 1)
    if publisher is None:
        return {"name": "", "address": "", "contact": "", "jurisdiction": ""}
    return {
        "name": publisher.name,
        "address": publisher.address,
        "contact": publisher.contact,
        "jurisdiction": publisher.jurisdiction,
    }


def contact(session: Session) -> str:
    """Return where readers reach the controller: as entered, else as the newsletters answer."""
    said = controller(session)["contact"]
    if said:
        return said
    addresses = [each.reply_to or each.from_address for each in list_newsletters(session)]
    return addresses[0] if addresses else ""


def recipients(session: Session, practice: Practice) -> list[dict[str, Any]]:
    """Return who is given addresses and mails: the relays, and nobody else."""
    found = [_default_relay(practice)]
    rows = session.scalars(select(Relay).where(Relay.name != DEFAULT_RELAY).order_by(Relay.name))
    found += [_relay(row.name, parse_relay_url(row.url)) for row in rows]
    return found


def retention(practice: Practice) -> list[dict[str, Any]]:
    """Return how long each kind of data is kept; `days` None: until the person is erased."""
    return [
        {
            "kind": period.rule.kind.value,
            "what": period.rule.what,
            "days": period.days,
            "counts_from": period.rule.counts_from,
            "setting": period.rule.setting,
        }
        for period in practice.periods.values()
    ]


def _default_relay(practice: Practice) -> dict[str, Any]:
    if practice.smtp_url is None:
        return {
            "name": "inbox",
            "host": N_("this machine"),
            "tls": "not needed",
            "role": N_("built-in inbox; no mail leaves this machine"),
        }
    return _relay(DEFAULT_RELAY, parse_relay_url(practice.smtp_url))


def _relay(name: str, config: RelayConfig) -> dict[str, Any]:
    return {
        "name": name,
        "host": config.host,
        "tls": config.security.value,
        "role": N_("mail relay: is given the address and the mail, to deliver it"),
    }
