"""What readers may choose within a newsletter."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from mailer.store.models.base import Base, BigId, id_column, newsletter_key


class Topic(Base):
    """Sections of a newsletter under one name; a taste, not a consent."""

    __tablename__ = "topic"
    __table_args__ = (UniqueConstraint("newsletter_id", "slug"),)

    id: Mapped[id_column]
    newsletter_id: Mapped[newsletter_key]
    slug: Mapped[str]
    labels: Mapped[dict[str, Any]]  # locale → label
    sections: Mapped[list[Any]]  # the articles' sections that it stands for
    position: Mapped[int]


class ReaderTopic(Base):
    """A topic that a reader has chosen."""

    __tablename__ = "reader_topic"

    subscriber_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("subscriber.id", ondelete="CASCADE"), primary_key=True
    )
    topic_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("topic.id", ondelete="CASCADE"), primary_key=True
    )
