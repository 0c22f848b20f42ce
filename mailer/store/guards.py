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

    What REPLACE takes away on SQLite is refused, too, in
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


_AGREED_TO = "SELECT 1 FROM {said} WHERE {said}.purpose_id = OLD.id"
_KEEPS = "readers have said something of this purpose: it stays"
_KEEP_FUNCTION = """
CREATE OR REPLACE FUNCTION mailer_keep_purpose() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {agreed_to} THEN
        RAISE EXCEPTION '{keeps}' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$
"""


def keep_what_is_agreed_to(connection: Connection) -> None:
    """Let the database refuse to delete a purpose that readers have said anything of.

    A foreign key would do so at the price of a look-up for every event and every subscription. A
    newsletter takes its purposes with it, so that it stays, too; one that nobody ever signed up for
    can be removed.
    """
    said = [
        f"EXISTS ({_AGREED_TO.format(said=each)})" for each in ("consent_event", "subscription")
    ]
    agreed_to = " OR ".join(said)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_KEEP_FUNCTION.format(agreed_to=agreed_to, keeps=_KEEPS))
        body = "FOR EACH ROW EXECUTE FUNCTION mailer_keep_purpose()"
    else:
        body = f"WHEN {agreed_to} BEGIN SELECT RAISE(ABORT, '{_KEEPS}'); END"
    connection.exec_driver_sql(f"CREATE TRIGGER purpose_stays BEFORE DELETE ON purpose {body}")
