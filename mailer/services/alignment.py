"""Which newsletters write under a domain that our signature does not speak for."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.addresses import wire_address
from mailer.domain.alignment import Alignment, alignment
from mailer.store.models import Newsletter


def senders_not_aligned(session: Session, signer: str) -> list[tuple[str, str, Alignment]]:
    """Return newsletter, domain of its From, and how that stands to the signing domain."""
    rows = session.execute(
        select(Newsletter.slug, Newsletter.from_address).order_by(Newsletter.slug)
    )
    found: list[tuple[str, str, Alignment]] = []
    for slug, address in rows:
        domain = wire_address(address).rpartition("@")[2]
        stands = alignment(domain, signer)
        if stands is not Alignment.ALIGNED:
            found.append((slug, domain, stands))
    return found
