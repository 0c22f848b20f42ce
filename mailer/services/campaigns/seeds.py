"""Seed addresses: the house's own, which get a copy of every campaign as readers get it.

They are no readers: nobody asked them, nothing counts them, and a suppressed one gets nothing.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mailer.domain.addresses import EmailAddress, address_hash, parse_address, receiving_provider
from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryKind, Lane
from mailer.domain.retry import lifetime
from mailer.services.mails.renderer import Renderer
from mailer.services.newsletters.lookup import NotFound
from mailer.services.newsletters.newsletters import BadValue
from mailer.store.engine import Sessions, reading
from mailer.store.ledger import queue_mail
from mailer.store.models import Campaign, Newsletter, Seed
from mailer.store.once import insert_once
from mailer.store.suppressions import standing

_MOST = 50


def add_seed(
    session: Session, newsletter: Newsletter, address: EmailAddress, key: bytes, *, now: datetime
) -> str:
    """Add an address of the house; return its keyed hash. Adding it twice changes nothing."""
    hashed = address_hash(address, key)
    if standing(session, hashed, newsletter.slug):
        raise BadValue(f"{address} is suppressed: it would get nothing.")
    if len(list_seeds(session, newsletter)) >= _MOST:
        raise BadValue(
            f"A newsletter has {_MOST} seed addresses at most: they are no mailing list."
        )
    insert_once(
        session,
        Seed,
        {
            "newsletter_id": newsletter.id,
            "email": str(address),
            "address_hash": hashed,
            "added_at": now,
        },
    )
    return hashed


def list_seeds(session: Session, newsletter: Newsletter) -> list[Seed]:
    """Return the newsletter's seed addresses, oldest first."""
    mine = select(Seed).where(Seed.newsletter_id == newsletter.id).order_by(Seed.id)
    return list(session.scalars(mine))


def remove_seed(session: Session, newsletter: Newsletter, address: EmailAddress, key: bytes) -> str:
    """Let an address get no more copies; return its keyed hash. Raises NotFound."""
    hashed = address_hash(address, key)
    gone = session.execute(
        delete(Seed)
        .where(Seed.newsletter_id == newsletter.id, Seed.address_hash == hashed)
        .returning(Seed.id)
    )
    if gone.first() is None:
        raise NotFound(
            f"{address} is no seed of {newsletter.slug}: see `mailer seed list {newsletter.slug}`."
        )
    return hashed


def copy_to_seeds(
    sessions: Sessions, campaign_id: int, *, renderer: Renderer, now: datetime
) -> int:
    """Queue a copy for every seed address, once for what a campaign holds; return how many.

    The copies and the note that they are made are one transaction.
    """
    with reading(sessions) as session:
        campaign = session.get_one(Campaign, campaign_id)
        if campaign.seeded_at is not None or not list_seeds(session, campaign.newsletter):
            return 0
        compiled, version = renderer.sent_message(session, campaign), campaign.version
    with sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id, with_for_update=True)
        if campaign.seeded_at is not None or campaign.state != CampaignState.PREPARING:
            return 0
        if campaign.version != version:
            return 0  # corrected meanwhile, and so prepared anew
        campaign.seeded_at = now
        newsletter = campaign.newsletter
        seeds = [
            seed
            for seed in list_seeds(session, newsletter)
            if not standing(session, seed.address_hash, newsletter.slug)
        ]
        variant = renderer.store_test_variant(session, campaign, compiled, now=now)
        for seed in seeds:
            queue_mail(
                session,
                kind=DeliveryKind.TEST,
                newsletter_id=newsletter.id,
                variant_id=variant,
                provider=receiving_provider(parse_address(seed.email)),
                recipient=seed.email,
                recipient_hash=seed.address_hash,
                now=now,
                expires_at=now + lifetime(DeliveryKind.TEST, Lane.TRANSACTIONAL),
            )
    return len(seeds)
