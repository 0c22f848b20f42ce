"""What is written down of our own acts: whom an operator touched, whom we forgot, what came in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from mailer.store.models.base import Base, BigId, id_column, newsletter_key


class OperatorAction(Base):
    """One act of an operator that touched people: who, when, what. Never changed.

    Readers are named by their number, so that nothing is to be forgotten here.
    """

    __tablename__ = "operator_action"

    id: Mapped[id_column]
    at: Mapped[datetime]
    operator: Mapped[str]
    action: Mapped[str]  # noun and verb, as on the command line
    subscriber_id: Mapped[int | None] = mapped_column(BigId, index=True)
    details: Mapped[dict[str, Any]]


class Erasure(Base):
    """A reader who was forgotten: the number of the row that is gone, and the keyed hash."""

    __tablename__ = "erasure"

    id: Mapped[id_column]
    subscriber_id: Mapped[int] = mapped_column(BigId, unique=True)
    address_hash: Mapped[str]
    method: Mapped[str]  # how it was asked for
    at: Mapped[datetime]
    cleaned_at: Mapped[datetime | None]
    """Since when nothing of theirs is left outside of the rows; None: the sweep sees to it."""


class ImportRun(Base):
    """One import of a file, so that an interrupted one goes on where it stopped."""

    __tablename__ = "import_run"

    id: Mapped[id_column]
    newsletter_id: Mapped[newsletter_key]
    fingerprint: Mapped[str] = mapped_column(unique=True)  # of the file and of how it is read
    source: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    rows_done: Mapped[int] = mapped_column(BigId)
    counts: Mapped[dict[str, Any]]  # outcome → number


class Witness(Base):
    """One row: how often the witness folder was told of this database, and when last.

    `beat` rises with every visit; a database whose number is lower than the folder's is an old one.
    """

    __tablename__ = "witness"

    id: Mapped[id_column]
    beat: Mapped[int] = mapped_column(BigId)
    seen_at: Mapped[datetime]


class JournalPending(Base):
    """A line that the witness folder has not been told yet (`mailer.store.journal`)."""

    __tablename__ = "journal_pending"

    id: Mapped[id_column]
    journal: Mapped[str]
    line: Mapped[dict[str, Any]]
