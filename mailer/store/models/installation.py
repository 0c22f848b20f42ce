"""This installation: whose it is, with which keys, and which workers are alive."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from mailer.store.models.base import Base, id_column


class Installation(Base):
    """One row: fingerprints of the keys, so that a process with other keys refuses to start."""

    __tablename__ = "installation"

    id: Mapped[id_column]
    key_fingerprints: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    halted: Mapped[str | None]
    """Why nothing is sent until an operator says so; None while all is well."""
    retained_at: Mapped[datetime | None]
    """When the retention job last began; it begins once a day."""
    halted_at: Mapped[datetime | None]


class Publisher(Base):
    """One row: the controller whose name and address stand in notices and mails."""

    __tablename__ = "publisher"

    id: Mapped[id_column]
    name: Mapped[str]
    address: Mapped[str]
    contact: Mapped[str]
    jurisdiction: Mapped[str]


class Worker(Base):
    """A living process that takes work from the database; gone when `seen_at` grows old."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
