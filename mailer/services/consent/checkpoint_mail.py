"""Sending a checkpoint to somebody outside, so that it is kept where nobody here can change it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.addresses import EmailAddress, address_hash, receiving_provider
from mailer.domain.deliveries import DeliveryKind, Lane
from mailer.domain.errors import Refusal
from mailer.domain.retry import lifetime
from mailer.services.consent.checkpoints import Signed
from mailer.services.mails.renderer import Renderer
from mailer.store.ledger import queue_mail
from mailer.store.models import Newsletter
from mailer.store.suppressions import standing


class CannotMail(Refusal):
    """The checkpoint cannot be sent there."""


def mail_checkpoint(
    session: Session,
    signed: Signed,
    address: EmailAddress,
    *,
    renderer: Renderer,
    suppression_key: bytes,
    now: datetime,
) -> int:
    """Queue the checkpoint for one address, as a test is queued; return the delivery's id."""
    newsletter = session.scalar(select(Newsletter).order_by(Newsletter.id).limit(1))
    if newsletter is None:
        raise CannotMail(
            "Nobody is there to send it: a mail goes out under a newsletter's address. "
            "Add one with `mailer newsletter add`."
        )
    hashed = address_hash(address, suppression_key)
    if standing(session, hashed, newsletter.slug):
        raise CannotMail(f"{address} is suppressed: choose another address for the checkpoint.")
    size = signed.checkpoint.size
    return queue_mail(
        session,
        kind=DeliveryKind.TEST,
        newsletter_id=newsletter.id,
        variant_id=renderer.store_checkpoint_variant(
            session, newsletter, signed.note, size, now=now
        ),
        provider=receiving_provider(address),
        recipient=str(address),
        recipient_hash=hashed,
        now=now,
        expires_at=now + lifetime(DeliveryKind.TEST, Lane.TRANSACTIONAL),
    )
