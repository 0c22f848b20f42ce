"""How far this database has come, in numbers that only rise: what tells an old one from the latest.

`beat` rises at every visit of the witness folder. The ids of what stands in signed links are noted
there, too: a restored database would give them a second time, and a reader's link would lead to
another reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from mailer.domain.leaves import instant
from mailer.store.models import Base, Installation, Witness
from mailer.store.once import insert_once

_AHEAD = {"subscriber": 1_000_000, "delivery": 1_000_000}
_AHEAD_OF_FEW = 1_000
"""So many ids are left out beyond those that were noted: more than are given between two visits."""

_NEVER_AGAIN = sorted(
    name
    for name, table in Base.metadata.tables.items()
    if table.dialect_options["sqlite"]["autoincrement"]
)
"""The tables whose ids are never given twice (`sqlite_autoincrement`)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a database stands: whose it is, how often it was witnessed, and when last."""

    installation: str
    beat: int
    seen_at: datetime | None


def standing_of(session: Session) -> Standing:
    """Return where this database stands; `installation` is when it was set up, in all backups."""
    made = session.scalars(select(Installation.created_at)).one()
    row = session.get(Witness, 1, populate_existing=True)
    return Standing(instant(made), row.beat if row else 0, row.seen_at if row else None)


def raise_beat(session: Session, beat: int, *, now: datetime) -> None:
    """Note a visit. The number never sinks, whoever else visits at the same time."""
    insert_once(session, Witness, {"id": 1, "beat": 0, "seen_at": now})
    risen = update(Witness).where(Witness.beat < beat).values(beat=beat)
    session.execute(risen)
    session.execute(update(Witness).values(seen_at=now))


def highest_ids(session: Session) -> dict[str, int]:
    """Return, by table, the highest id that was given of those that are never given twice."""
    if session.get_bind().dialect.name == "sqlite":
        rows = session.execute(text("SELECT name, seq FROM sqlite_sequence"))
        return {name: int(highest) for name, highest in rows if name in _NEVER_AGAIN}
    found = {}
    for table in _NEVER_AGAIN:
        last = session.execute(text(f"SELECT last_value, is_called FROM {table}_id_seq")).one()
        if last.is_called:
            found[table] = int(last.last_value)
    return found


def skip_ids(session: Session, noted: Mapping[str, int]) -> None:
    """Give no id again that the latest database has given; doing it again skips nothing more."""
    here = highest_ids(session)
    for table in _NEVER_AGAIN:
        highest, now = noted.get(table, 0), here.get(table, 0)
        wanted = highest + _AHEAD.get(table, _AHEAD_OF_FEW)
        if now >= wanted or not highest:
            continue
        if session.get_bind().dialect.name == "sqlite":
            _skip_on_sqlite(session, table, wanted)
        else:
            # By taking them: the service's role may do no more (`mailer.store.roles`).
            taken = text(f"SELECT max(nextval('{table}_id_seq')) FROM generate_series(1, :number)")
            session.execute(taken, {"number": wanted - now})


def _skip_on_sqlite(session: Session, table: str, highest: int) -> None:
    values = {"name": table, "highest": highest}
    known = session.connection().execute(
        text("UPDATE sqlite_sequence SET seq = :highest WHERE name = :name"), values
    )
    if not known.rowcount:
        session.execute(text("INSERT INTO sqlite_sequence VALUES (:name, :highest)"), values)
