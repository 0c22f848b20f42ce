"""From a claimed delivery to the bytes that the relay is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from mailer.domain.addresses import wire_address
from mailer.domain.deliveries import DeliveryKind
from mailer.domain.errors import Refusal
from mailer.domain.links import Links
from mailer.domain.tokens import delivery_token
from mailer.rendering import NOTHING, CompiledMessage, DkimSigner, ReaderValues, SignedMessage
from mailer.services.mails.choosing import Chooser, Home, home_of, shown_name
from mailer.store.ledger import Claimed
from mailer.store.models import Variant
from mailer.store.profiles import Profile
from mailer.transports import Envelope


@dataclass(frozen=True, slots=True)
class MailIdentity:
    """What names our mails: the domain of Message-IDs, and the key that makes them unguessable."""

    domain: str
    key: bytes

    def message_id(self, delivery_id: int) -> str:
        """Return the Message-ID (RFC 5322 §3.6.4) of a delivery: the same in every attempt."""
        return self.message_id_of(self.delivery_token(delivery_id))

    def message_id_of(self, token: str) -> str:
        """Return the Message-ID of the delivery with this opaque name."""
        return f"<{token}@{self.domain}>"

    def delivery_token(self, delivery_id: int) -> str:
        """Return the opaque name of a delivery."""
        return delivery_token(delivery_id, self.key)


class Prepared(NamedTuple):
    """One leased delivery, with the compiled mail that it is to be made from."""

    claimed: Claimed
    variant: CompiledMessage | SignedMessage | None
    profile: Profile | None = None  # where the mail needs more of the reader than address and name
    home: Home | None = None
    problem: str = ""  # why nothing can be compiled for this reader


class Outgoing(NamedTuple):
    """One mail, ready for the wire."""

    claimed: Claimed
    envelope: Envelope
    content: bytes


class CannotCompose(Refusal):
    """This delivery can never be sent as it is; no relay was asked."""


_KEPT_VARIANTS = 64


class Composer:
    """Fills compiled variants with one reader's values; microseconds per reader.

    `prepare` reads what a batch needs from the database, once per variant; `compose` is pure.
    With a signer every mail carries its signatures (RFC 6376); without one, the relay signs.
    """

    def __init__(
        self, links: Links, identity: MailIdentity, signer: DkimSigner | None = None
    ) -> None:
        self._links = links
        self._identity = identity
        self._signer = signer
        self._variants: dict[int, CompiledMessage | SignedMessage] = {}
        self._chooser = Chooser()

    def prepare(self, connection: Connection, batch: Sequence[Claimed]) -> list[Prepared]:
        """Return the batch with its compiled mails; those that are not known yet are loaded.

        Where the mail differs by reader, each reader's is chosen; what is not compiled yet is given
        back, and is not in the batch any more.
        """
        chosen = self._chooser.choose(connection, batch)
        variants = self._load(
            connection, {item.variant_id for item in chosen.batch if item.variant_id}
        )
        homes = {
            newsletter_id: home_of(connection, newsletter_id)
            for newsletter_id in {
                item.newsletter_id
                for item in chosen.batch
                if item.campaign_id is None or item.id in chosen.profiles
            }
        }
        return [
            Prepared(
                item,
                variants.get(item.variant_id or 0),
                chosen.profiles.get(item.id),
                homes.get(item.newsletter_id),
                chosen.failing.get(item.id, ""),
            )
            for item in chosen.batch
        ]

    def compose(self, prepared: Prepared, *, now: datetime) -> Outgoing:
        """Return the mail; raises CannotCompose where there is nothing to make it from."""
        claimed = prepared.claimed
        if prepared.problem:
            raise CannotCompose(prepared.problem)
        if prepared.variant is None:
            raise CannotCompose("The compiled mail of this delivery is gone.")
        try:
            content = prepared.variant.personalise(self._values(prepared, now))
        except Refusal as refusal:
            raise CannotCompose(str(refusal)) from None
        recipient = wire_address(claimed.email)
        envelope = Envelope(
            prepared.variant.sender, recipient, size=len(content), smtputf8=not recipient.isascii()
        )
        return Outgoing(claimed, envelope, content)

    def _load(
        self, connection: Connection, wanted: set[int]
    ) -> dict[int, CompiledMessage | SignedMessage]:
        unknown = wanted - self._variants.keys()
        found = select(Variant.id, Variant.compiled).where(Variant.id.in_(unknown))
        for variant_id, compiled in connection.execute(found) if unknown else ():
            variant = CompiledMessage.from_json(compiled)
            self._variants[variant_id] = (
                SignedMessage(variant, self._signer) if self._signer else variant
            )
        loaded = {each: self._variants[each] for each in wanted if each in self._variants}
        for oldest in list(self._variants)[: max(len(self._variants) - _KEPT_VARIANTS, 0)]:
            del self._variants[oldest]
        return loaded

    def _values(self, prepared: Prepared, now: datetime) -> ReaderValues:
        claimed, profile = prepared.claimed, prepared.profile
        home = prepared.home or Home("", "")
        name = profile.name if profile else claimed.name
        newsletter, reader = claimed.newsletter_id, claimed.subscriber_id or 0
        campaign = claimed.campaign_id or 0
        confirms = claimed.kind == DeliveryKind.CONFIRMATION
        serves = claimed.kind == DeliveryKind.SERVICE
        token = self._identity.delivery_token(claimed.id)
        return ReaderValues(
            email=profile.email if profile else claimed.email,
            # Whoever filled in the form may be a stranger: nothing of theirs goes into this mail.
            name="" if confirms or serves else shown_name(name),
            unsubscribe_url=self._links.unsubscribe(newsletter, reader, campaign),
            preferences_url=self._links.preferences(newsletter, reader, campaign),
            confirm_url=self._links.confirm(newsletter, reader, claimed.serial) if confirms else "",
            message_id=self._identity.message_id_of(token),
            date=now,
            delivery=token,
            export_url=self._links.export(newsletter, reader, claimed.serial) if serves else "",
            erase_url=self._links.erase(newsletter, reader, claimed.serial) if serves else "",
            locale=(profile.locale if profile else "") or home.locale,
            timezone=(profile.timezone if profile else "") or home.timezone,
            attributes=profile.attributes if profile else NOTHING,
            topics=profile.topics if profile else (),
        )
