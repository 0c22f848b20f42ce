"""What readers said, and the log that proves it.

Rows of these tables are only ever added. Triggers refuse every change, and on PostgreSQL the
service's role may do no more (docs/how-to/consent-log.md). What is personal stands apart, sealed
under the reader's own key, so that it can be forgotten without touching the log.

What refers to an event has no foreign key, and an event none to what it names: PostgreSQL would
look each of them up, row by row, while a million readers are imported. A purpose that somebody has
agreed to cannot be deleted (`mailer.store.guards`), and `mailer consent audit` looks the rest up.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from mailer.store.models.base import Base, BigId, id_column


class ConsentEvent(Base):
    """What a reader said, once and for ever: `mailer.domain.leaves.Leaf`, column by column."""

    __tablename__ = "consent_event"

    id: Mapped[id_column]
    event_id: Mapped[str] = mapped_column(unique=True)
    newsletter_id: Mapped[int] = mapped_column(BigId)
    purpose_id: Mapped[int] = mapped_column(BigId)
    subscriber_id: Mapped[int] = mapped_column(BigId, index=True)
    state: Mapped[str]
    method: Mapped[str]
    basis: Mapped[str] = mapped_column(server_default="consent")
    notice_id: Mapped[int | None] = mapped_column(BigId)
    notice_assumed: Mapped[bool]
    at: Mapped[datetime]
    stated_at: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    commitment: Mapped[bytes] = mapped_column(server_default=text("''"))
    leaf_hash: Mapped[bytes] = mapped_column(server_default=text("''"))


class ConsentEvidence(Base):
    """The personal part of a consent event, sealed (`mailer.store.vault`)."""

    __tablename__ = "consent_evidence"

    event: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    sealed: Mapped[bytes]


class PendingLeaf(Base):
    """An event that the log has given no index yet; the sequencer takes the row away."""

    __tablename__ = "consent_pending"

    event: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)


class LogEntry(Base):
    """A leaf's place in the log: no gaps, no two alike, never changed."""

    __tablename__ = "consent_log"

    leaf_index: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    event: Mapped[int] = mapped_column(BigId, unique=True)


class LogTile(Base):
    """256 neighbouring hashes of one height of the tree, and the hash above them.

    On level 0 the hashes are leaves; on level n they are the roots of level n - 1.
    """

    __tablename__ = "consent_tile"

    level: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    hashes: Mapped[bytes]  # 256 × 32 octets
    root: Mapped[bytes]


class LogCheckpoint(Base):
    """A signed statement of how long the log was, and of its root (C2SP tlog-checkpoint).

    The newest has the highest id. `origin` differs where the log was begun anew after a loss.
    """

    __tablename__ = "consent_checkpoint"
    __table_args__ = (UniqueConstraint("origin", "size"),)

    id: Mapped[id_column]
    origin: Mapped[str]
    size: Mapped[int] = mapped_column(BigId)
    note: Mapped[str]
    at: Mapped[datetime]
