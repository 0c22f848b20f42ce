"""From a claimed delivery to the bytes that the relay is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.addresses import parse_address
from mailer.domain.deliveries import DeliveryKind
from mailer.domain.errors import Refusal
from mailer.domain.links import Links
from mailer.domain.tokens import delivery_token, message_id
from mailer.rendering import CompiledMessage, ReaderValues
from mailer.store.ledger import Claimed
from mailer.store.models import Newsletter, Variant
from mailer.transports import Envelope


@dataclass(frozen=True, slots=True)
class MailIdentity:
    """What names our mails: the domain of Message-IDs, and the key that makes them unguessable."""

    domain: str
    key: bytes

    def message_id(self, delivery_id: int) -> str:
        """Return the Message-ID of a delivery: the same in every attempt."""
        return message_id(delivery_id, self.domain, self.key)

    def delivery_token(self, delivery_id: int) -> str:
        """Return the opaque name of a delivery."""
        return delivery_token(delivery_id, self.key)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One mail, ready for the wire."""

    envelope: Envelope
    content: bytes


class CannotCompose(Refusal):
    """This delivery can never be sent as it is; no relay was asked."""


_KEPT_VARIANTS = 64


class Composer:
    """Fills compiled variants with one reader's values; microseconds per reader.

    `prepare` reads what a batch needs from the database, once per variant; `compose` is pure.
    """

    def __init__(self, links: Links, identity: MailIdentity) -> None:
        self._links = links
        self._identity = identity
        self._variants: dict[int, CompiledMessage] = {}
        self._senders: dict[int, str] = {}

    def prepare(self, session: Session, batch: Sequence[Claimed]) -> None:
        """Load the variants and senders that the batch needs and that are not known yet."""
        wanted = {item.variant_id for item in batch if item.variant_id} - self._variants.keys()
        while self._variants and len(self._variants) + len(wanted) > _KEPT_VARIANTS:
            self._variants.pop(next(iter(self._variants)))
        for variant in session.scalars(select(Variant).where(Variant.id.in_(wanted))):
            self._variants[variant.id] = CompiledMessage.from_json(variant.compiled)
        # Read again for every batch, so that an edited sender is used at once.
        newsletters = {item.newsletter_id for item in batch}
        rows = session.execute(
            select(Newsletter.id, Newsletter.from_address).where(Newsletter.id.in_(newsletters))
        )
        self._senders.update(dict(rows.all()))

    def compose(self, claimed: Claimed, *, now: datetime) -> Outgoing:
        """Return the mail; raises CannotCompose where there is nothing to make it from."""
        variant = self._variants.get(claimed.variant_id or 0)
        sender = self._senders.get(claimed.newsletter_id)
        if variant is None or sender is None:
            raise CannotCompose("The compiled mail of this delivery is gone.")
        try:
            content = variant.personalise(self._values(claimed, now))
            recipient = parse_address(claimed.email)
        except Refusal as refusal:
            raise CannotCompose(str(refusal)) from None
        return Outgoing(
            Envelope(
                sender=sender,
                recipient=str(recipient),
                smtputf8=not recipient.local.isascii(),
                size=len(content),
            ),
            content,
        )

    def _values(self, claimed: Claimed, now: datetime) -> ReaderValues:
        newsletter, reader = claimed.newsletter_id, claimed.subscriber_id or 0
        campaign = claimed.campaign_id or 0
        confirms = claimed.kind is DeliveryKind.CONFIRMATION
        return ReaderValues(
            email=claimed.email,
            # Whoever filled in the form may be a stranger: nothing of theirs goes into this mail.
            name="" if confirms else claimed.name,
            unsubscribe_url=self._links.unsubscribe(newsletter, reader, campaign),
            preferences_url=self._links.preferences(newsletter, reader, campaign),
            confirm_url=self._links.confirm(newsletter, reader, claimed.serial) if confirms else "",
            message_id=self._identity.message_id(claimed.id),
            date=now,
            delivery=self._identity.delivery_token(claimed.id),
        )
