"""The domains that newsletters write under, and whether our signature speaks for them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.addresses import wire_address
from mailer.domain.alignment import Alignment, alignment
from mailer.store.models import Newsletter


def sender_domains(session: Session) -> list[str]:
    """Return the domains of all newsletters' From, each once, in their ASCII forms."""
    addresses = session.scalars(select(Newsletter.from_address))
    return sorted({_domain_of(address) for address in addresses})


def senders_not_aligned(session: Session, signer: str) -> list[tuple[str, str, Alignment]]:
    """Return newsletter, domain of its From, and how that stands to the signing domain."""
    rows = session.execute(
        select(Newsletter.slug, Newsletter.from_address).order_by(Newsletter.slug)
    )
    found: list[tuple[str, str, Alignment]] = []
    for slug, address in rows:
        domain = _domain_of(address)
        stands = alignment(domain, signer)
        if stands is not Alignment.ALIGNED:
            found.append((slug, domain, stands))
    return found


def _domain_of(address: str) -> str:
    return wire_address(address).rpartition("@")[2].lower()
