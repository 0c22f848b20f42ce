"""Finding readers, and making them: one row per mailbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.addresses import EmailAddress, address_hash, receiving_provider
from mailer.store.models import Subscriber
from mailer.store.once import insert_once
from mailer.store.vault import Vault


@dataclass(frozen=True, slots=True)
class ReaderDetails:
    """What a reader told about themselves, beside the address."""

    name: str = ""
    locale: str = ""
    timezone: str = ""
    topics: tuple[str, ...] = ()  # of the newsletter that they signed up for


def find_reader(session: Session, address: EmailAddress, key: bytes) -> Subscriber | None:
    """Return the reader of this mailbox, however the address is spelled."""
    return session.scalar(
        select(Subscriber).where(Subscriber.address_hash == address_hash(address, key))
    )


def find_or_add_reader(
    session: Session,
    address: EmailAddress,
    key: bytes,
    details: ReaderDetails = ReaderDetails(),
    *,
    now: datetime,
) -> Subscriber:
    """Return the reader of this mailbox, locked; one who is new is added.

    An existing reader's details stay as they are: a form that anybody can fill in must not change
    what somebody else told us. The row lock makes all events of one reader one after the other.
    """
    hashed = address_hash(address, key)
    while True:
        insert_once(
            session,
            Subscriber,
            {
                "email": str(address),
                "address_hash": hashed,
                "provider": receiving_provider(address),
                "name": details.name,
                "locale": details.locale,
                "timezone": details.timezone,
                "attributes": {},
                "created_at": now,
                "sealed_key": Vault.of(session).new_key()[1],
            },
        )
        reader = lock_reader_of(session, hashed)
        if reader is not None:
            return reader
        # Stood there, and was erased while we waited for the lock: they are new now.


def lock_reader_of(session: Session, hashed: str) -> Subscriber | None:
    """Return the reader of the mailbox with this keyed hash, locked until the transaction ends."""
    return session.scalar(
        select(Subscriber).where(Subscriber.address_hash == hashed).with_for_update()
    )


def reader_with_hash(session: Session, hashed: str) -> int | None:
    """Return the number of the reader whose address has this keyed hash."""
    return session.scalar(select(Subscriber.id).where(Subscriber.address_hash == hashed))


def lock_reader(session: Session, subscriber_id: int) -> Subscriber | None:
    """Return the reader, locked until the transaction ends."""
    return session.scalar(
        select(Subscriber).where(Subscriber.id == subscriber_id).with_for_update()
    )
