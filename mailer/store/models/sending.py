"""Deliveries and what became of them.

`delivery` and `attempt` are Core tables: the hot path names columns, not objects. On PostgreSQL
both are partitioned by `period`, so that an old month is dropped, not deleted row by row; the
period of a campaign's deliveries is the campaign's own, so that uniqueness per campaign and
reader holds across partitions.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from mailer.store.clock import Instant
from mailer.store.models.base import Base, BigId, id_column

_OPEN = text("settled_at IS NULL")
"""An index over open rows names no column that claim and gate change, so that PostgreSQL updates
those in place (heap-only tuples) and touches no index before a delivery is settled."""


def _open_index(name: str, *columns: str) -> Index:
    return Index(name, *columns, postgresql_where=_OPEN, sqlite_where=_OPEN)


delivery = Table(
    "delivery",
    Base.metadata,
    Column("id", BigId, primary_key=True),
    Column("period", Integer, nullable=False),
    Column("campaign_id", BigInteger),
    Column("subscriber_id", BigInteger),
    Column("newsletter_id", BigInteger, nullable=False),
    Column("variant_id", BigInteger),  # of a campaign's delivery: set at claim
    Column("lease_until", Instant),
    Column("next_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("held_from", Instant),  # of what waits for its receiving provider: when it was due
    Column("settled_at", Instant),  # NULL while something is still to be done by itself
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("lane", SmallInteger, nullable=False),
    Column("serial", Integer, nullable=False, server_default="0"),  # of the request, or its day
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("recipient", Text),  # of a test, which has no subscriber
    Column("recipient_hash", Text),  # and its address's keyed hash, for suppression
    Column("leased_by", Text),
    Column("last_reply", Text),  # addresses masked
    Column("relay_queue_id", Text),  # the relay's own id from its 250
    UniqueConstraint("period", "campaign_id", "subscriber_id"),
    _open_index("ix_delivery_open_due", "campaign_id", "next_at"),
    _open_index("ix_delivery_open_subscriber", "subscriber_id"),
    Index("ix_delivery_subscriber", "subscriber_id"),
    Index(
        "ix_delivery_recipient_hash",
        "recipient_hash",
        postgresql_where=text("recipient_hash IS NOT NULL"),
        sqlite_where=text("recipient_hash IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)
"""One mail to one reader, and what became of it."""

attempt = Table(
    "attempt",
    Base.metadata,
    Column("period", Integer, primary_key=True),
    Column("delivery_id", BigInteger, primary_key=True),
    Column("fence", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("relay", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # the state that the attempt led to
    Column("stage", Text, nullable=False),
    Column("reply", Text, nullable=False),  # addresses masked
    Index(
        "ix_attempt_uncertain",
        "delivery_id",
        postgresql_where=text("outcome = 'uncertain'"),
        sqlite_where=text("outcome = 'uncertain'"),
    ),
)
"""One try to hand a delivery to a relay, under one fence. Append-only; refers to `delivery`
without a foreign key, for the partitions of both are dropped on their own."""


class Feedback(Base):
    """What came back: bounce, deferral, complaint, delivered."""

    __tablename__ = "feedback"

    id: Mapped[id_column]
    kind: Mapped[str]
    delivery_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    subscriber_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    source: Mapped[str]
    status: Mapped[str]
    detail: Mapped[str]
    received_at: Mapped[datetime]
