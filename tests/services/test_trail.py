"""The audit trail on both databases: what is noted, found again, and not in the way."""

from __future__ import annotations

from typing import Any

import building as b
from sqlalchemy import event

from mailer.services.installation.trail import acts_on, audit_trail, note_look
from mailer.store.actions import note_action
from mailer.store.engine import reading
from mailer.wiring import Parts


def note(parts: Parts, action: str, reader: int | None = None, **details: Any) -> None:
    with parts.sessions.begin() as session:
        note_action(session, "amina", action, now=b.NOW, subscriber_id=reader, details=details)


def trail(parts: Parts, **which: Any) -> list[str]:
    with reading(parts.sessions) as session:
        return [row["action"] for row in audit_trail(session, **{"most": 10, **which})]


def test_the_trail_is_filtered_by_reader_by_hash_by_time_and_by_page(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), 2)
    note(parts, "subscriber edit", reader=1, fields=["name"])
    note(parts, "campaign test", address_hash="ab", campaign=1)
    note(parts, "subscriber show", reader=1)
    note(parts, "suppression add", reader=77)  # who has been forgotten since
    assert trail(parts) == [
        "suppression add", "subscriber show", "campaign test", "subscriber edit"
    ]  # fmt: skip
    assert trail(parts, subscriber_id=1, hashed="ab") == [
        "subscriber show", "campaign test", "subscriber edit"
    ]  # fmt: skip
    assert trail(parts, hashed="ab") == ["campaign test"]
    assert trail(parts, subscriber_id=77) == ["suppression add"]
    assert trail(parts, before=3, most=1) == ["campaign test"]
    assert trail(parts, since=parts.now().replace(year=3000)) == []
    with parts.sessions() as session:
        assert [act.action for act in acts_on(session, 1)] == ["subscriber edit"]
        first = audit_trail(session, most=10)[-1]
    assert (first["email"], first["operator"]) == ("reader0@readers.test", "amina")


def test_a_look_goes_without_a_line_where_the_database_can_only_be_read(parts: Parts) -> None:
    assert note_look(parts.sessions, "amina", "subscriber show", now=b.NOW) is None
    sqlite = parts.engine.dialect.name == "sqlite"

    def read_only(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA query_only=ON" if sqlite else "SET default_transaction_read_only=on")
        cursor.close()
        connection.commit()

    parts.engine.dispose()
    event.listen(parts.engine, "connect", read_only)
    reason = note_look(parts.sessions, "amina", "subscriber show", now=b.NOW)
    assert reason in (
        "attempt to write a readonly database",
        "cannot execute INSERT in a read-only transaction",
    )
    assert trail(parts) == ["subscriber show"]
