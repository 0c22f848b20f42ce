"""What somebody does to the database who owns it: past the program, and past what guards tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.orm import Session

from mailer.wiring import Parts


@contextmanager
def unguarded(parts: Parts) -> Iterator[Session]:
    """Open a transaction in which no trigger of the database refuses anything."""
    with parts.sessions.begin() as session:
        if parts.engine.dialect.name == "postgresql":
            session.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            triggers = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for name in session.scalars(triggers).all():
                session.execute(text(f'DROP TRIGGER "{name}"'))
        yield session
