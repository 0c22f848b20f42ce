"""Readers and what they agreed to.

Ids that stand in signed links are never given twice, not even after an erasure
(`sqlite_autoincrement`; PostgreSQL's sequences never go back).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mailer.domain.consent import SubscriptionState
from mailer.store.models.base import Base, BigId, id_column, newsletter_key


class Newsletter(Base):
    """What a reader subscribes to."""

    __tablename__ = "newsletter"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[id_column]
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    from_name: Mapped[str]
    from_address: Mapped[str]
    reply_to: Mapped[str]
    locale: Mapped[str]
    timezone: Mapped[str]
    postal_address: Mapped[str]
    privacy_url: Mapped[str]
    terms_url: Mapped[str]
    theme: Mapped[dict[str, Any]]  # only what was set, as domain/themes.py names it
    created_at: Mapped[datetime]

    purposes: Mapped[list[Purpose]] = relationship(
        order_by="Purpose.position", back_populates="newsletter"
    )


class Purpose(Base):
    """What a consent is for; each is consented to on its own."""

    __tablename__ = "purpose"
    __table_args__ = (UniqueConstraint("newsletter_id", "slug"),)

    id: Mapped[id_column]
    newsletter_id: Mapped[newsletter_key]
    slug: Mapped[str]
    kind: Mapped[str]
    labels: Mapped[dict[str, Any]]  # locale → label
    position: Mapped[int]

    newsletter: Mapped[Newsletter] = relationship(back_populates="purposes")

    def label(self, locale: str, default_locale: str) -> str:
        """Return the label in the reader's locale, else in the newsletter's, else any."""
        for candidate in (locale, locale.split("-")[0], default_locale):
            if candidate in self.labels:
                return str(self.labels[candidate])
        return str(next(iter(self.labels.values()), self.slug))


class Notice(Base):
    """The exact wording shown when consent was asked; never edited once it stands here."""

    __tablename__ = "notice"
    __table_args__ = (UniqueConstraint("newsletter_id", "locale", "version"),)

    id: Mapped[id_column]
    newsletter_id: Mapped[newsletter_key]
    locale: Mapped[str]
    version: Mapped[int]
    sha256: Mapped[str] = mapped_column(unique=True)
    text: Mapped[str]
    purposes: Mapped[list[Any]]  # [{"slug", "label", "kind"}] in the order shown
    controller: Mapped[dict[str, Any]]
    links: Mapped[dict[str, Any]]
    published_at: Mapped[datetime]


class Subscriber(Base):
    """A reader. `address_hash` is the unique key: one mailbox, however it is spelled."""

    __tablename__ = "subscriber"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[id_column]
    email: Mapped[str]
    address_hash: Mapped[str] = mapped_column(unique=True)
    provider: Mapped[str]
    name: Mapped[str]
    locale: Mapped[str]
    timezone: Mapped[str]
    attributes: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    sealed_key: Mapped[bytes] = mapped_column(server_default=text("''"))
    """The reader's own key (`mailer.store.vault`); it goes with the row."""


class Subscription(Base):
    """Where one reader stands with one purpose; derived from the consent events.

    What it names has no foreign keys but the reader's (`mailer.store.models.consents` says why).
    """

    __tablename__ = "subscription"
    __table_args__ = (
        Index(
            "ix_subscription_active",
            "purpose_id",
            "subscriber_id",
            "valid_until",  # so that the gate reads this index alone
            postgresql_where=text("state = 'active'"),
            sqlite_where=text("state = 'active'"),
        ),
        Index("ix_subscription_newsletter", "newsletter_id", "subscriber_id"),
        Index(
            "ix_subscription_ends",
            "valid_until",
            postgresql_where=text("valid_until IS NOT NULL"),
            sqlite_where=text("valid_until IS NOT NULL"),
        ),
        Index(
            "ix_subscription_pending",
            "since",
            postgresql_where=text("state = 'pending'"),
            sqlite_where=text("state = 'pending'"),
        ),
    )

    subscriber_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("subscriber.id", ondelete="CASCADE"), primary_key=True
    )
    purpose_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    newsletter_id: Mapped[int] = mapped_column(BigId)
    state: Mapped[str]
    since: Mapped[datetime]
    valid_until: Mapped[datetime | None]  # of an implied consent, which ends by itself
    request: Mapped[int]  # the number of the sign-up that asked: its link confirms this, none older
    details: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    """What whoever asked said of the reader; believed when the request is confirmed."""

    purpose: Mapped[Purpose] = relationship(
        primaryjoin="foreign(Subscription.purpose_id) == Purpose.id"
    )

    @property
    def is_active(self) -> bool:
        """Say whether mail for this purpose may go to this reader."""
        return self.state == SubscriptionState.ACTIVE


class Suppression(Base):
    """An address that must not be mailed; the keyed hash outlives the reader's erasure."""

    __tablename__ = "suppression"
    __table_args__ = (UniqueConstraint("address_hash", "scope"),)

    id: Mapped[id_column]
    address_hash: Mapped[str]
    scope: Mapped[str]  # 'all' or a newsletter's slug
    reason: Mapped[str]
    detail: Mapped[str]
    created_at: Mapped[datetime]
