"""Which workers are alive: each says so every few seconds, in the database."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select
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


def place_among_senders(session: Session, name: str) -> tuple[int, int]:
    """Return which of the workers that send this one is (0, 1, …), and how many they are.

    By the database's clock; a worker that has not said yet that it is alive counts, too.
    """
    heard = Worker.seen_at > at(None, -DEAD_AFTER)
    statement = select(Worker.name).where(heard, Worker.queue.in_(("send", "all")))
    names = sorted({*session.scalars(statement), name})
    return names.index(name), len(names)
