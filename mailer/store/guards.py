"""Triggers that refuse to change or to take away what has been written down.

They protect from our own mistakes and from an operator's quick fix. On PostgreSQL the service's
role cannot take them off either (`mailer.store.roles`); whoever owns the file or the tables can,
and the audit of the log shows what they have done.

A migration that rebuilds one of these tables puts its guard back.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

_REFUSES = "CREATE TRIGGER {table}_refuses_{verb} BEFORE {verb} ON {table} "
_MESSAGE = "the rows of {table} are only added, never {past}"
_PAST = {"UPDATE": "changed", "DELETE": "deleted", "TRUNCATE": "deleted"}

_FUNCTION = """
CREATE OR REPLACE FUNCTION mailer_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END
$$
"""


def refuse(connection: Connection, table: str, verbs: Sequence[str]) -> None:
    """Let the database refuse these verbs (UPDATE, DELETE, TRUNCATE) on the table, row by row.

    Row by row, so that a newsletter of which nobody ever said anything can still be removed: its
    cascade looks for events and finds none. What REPLACE takes away on SQLite is refused, too, in
    connections of ours (`recursive_triggers`). Inserts cost nothing.
    """
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        connection.exec_driver_sql(_FUNCTION.replace("%", "%%"))
    for verb in verbs:
        message = _MESSAGE.format(table=table, past=_PAST[verb])
        head = _REFUSES.format(table=table, verb=verb)
        if postgresql:
            each = "STATEMENT" if verb == "TRUNCATE" else "ROW"
            body = f"FOR EACH {each} EXECUTE FUNCTION mailer_refuse('{message}')"
        elif verb == "TRUNCATE":
            continue  # SQLite has no such verb
        else:
            body = f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        connection.exec_driver_sql(head + body)
