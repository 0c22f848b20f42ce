"""Which workers are alive: each says so every few seconds, in the database."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from mailer.store.clock import at
from mailer.store.models import Worker
from mailer.store.once import insert_into

BEAT_EVERY = timedelta(seconds=5)
DEAD_AFTER = timedelta(seconds=20)


def say_alive(session: Session, name: str, queue: str, *, now: datetime) -> None:
    """Note that this worker lives; forget those that have been silent for a day."""
    values = {"name": name, "queue": queue, "started_at": now, "seen_at": now}
    statement = insert_into(session, Worker).values(values)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"seen_at": now}))
    session.execute(delete(Worker).where(Worker.seen_at < now - timedelta(days=1)))


def say_gone(session: Session, name: str) -> None:
    """Note that this worker has ended."""
    session.execute(delete(Worker).where(Worker.name == name))


def alive_workers(session: Session, *, now: datetime) -> list[Worker]:
    """Return the workers that were heard of lately."""
    return list(
        session.scalars(
            select(Worker).where(Worker.seen_at > now - DEAD_AFTER).order_by(Worker.name)
        )
    )


def senders_alive(session: Session) -> int:
    """Return how many workers that send were heard of lately, by the database's clock."""
    heard = Worker.seen_at > at(None, -DEAD_AFTER)
    statement = select(func.count()).where(heard, Worker.queue.in_(("send", "all")))
    return session.scalar(statement) or 0
