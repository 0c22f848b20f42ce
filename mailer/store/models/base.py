"""What all tables share: names of constraints, types, and the identity of a row."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase, mapped_column

from mailer.store.clock import Instant

# SQLite makes a rowid of INTEGER PRIMARY KEY only; 64 bits both.
BigId = BigInteger().with_variant(Integer(), "sqlite")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The tables; `migrations/` creates them, never `create_all`."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it from the class)
        datetime: Instant(),
        dict[str, Any]: JSON(),
        list[Any]: JSON(),
    }


id_column = Annotated[int, mapped_column(BigId, primary_key=True)]
newsletter_key = Annotated[
    int, mapped_column(BigId, ForeignKey("newsletter.id", ondelete="CASCADE"), index=True)
]
