"""The images that mails show, as they were when a campaign was made."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, ForeignKey, Table
from sqlalchemy.orm import Mapped, mapped_column

from mailer.store.models.base import Base, BigId


class StoredImage(Base):
    """One image, named by the hash of its bytes; however many campaigns show it."""

    __tablename__ = "image"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[bytes] = mapped_column(deferred=True)
    media_type: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    source: Mapped[str]  # the publisher's address of it, where it was first found
    fetched_at: Mapped[datetime]  # last; what no campaign shows is kept for a while from then


campaign_image = Table(
    "campaign_image",
    Base.metadata,
    Column("campaign_id", BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", ForeignKey("image.sha256"), primary_key=True, index=True),
)
"""Which images a campaign shows: none of them can be deleted while it is there."""
