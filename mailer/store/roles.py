"""PostgreSQL's two roles: one owns the tables, the other one is the service's and may do less.

What the service's role may not do, nobody can do who has stolen its password or found a hole in a
page: change what readers said, take it away, or switch the triggers off that refuse that.
docs/how-to/roles.md says how to make them.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal

_ONLY = {
    "SELECT": ("alembic_version",),
    "SELECT, INSERT": (
        "consent_event", "consent_log", "consent_tile", "consent_checkpoint", "notice",
        "operator_action",
    ),
    "SELECT, INSERT, DELETE": ("consent_evidence", "consent_pending"),
}  # fmt: skip
"""The tables of which the service may do less than read, add, change and delete rows."""

_ONE_AT_A_TIME = 0x6D61696C6572  # or two that grant at once fail at the catalogue's rows


class CannotGrant(Refusal):
    """The service's role cannot be given what it needs."""


class NotOurTables(Refusal):
    """This role may not even look at the tables."""


def service_role(database_url: str, migration_url: str) -> str | None:
    """Return the role that the service works as; None where it owns the tables, or has none."""
    service, owner = make_url(database_url), make_url(migration_url)
    if service.get_backend_name() != "postgresql" or service.username == owner.username:
        return None
    return service.username


def grant(connection: Connection, role: str) -> None:
    """Give the role exactly what the service needs, on the tables that there are by now.

    In the caller's transaction, so that nobody sees it half done; doing it again changes nothing.
    Raises CannotGrant where there is no such role, or the tables are not the caller's.
    """
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))
    _refuse_not_owner(connection)
    known = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    if connection.scalar(known, {"role": role}) is None:
        raise CannotGrant(
            f"There is no role {role}, which MAILER_DATABASE_URL names: make it with "
            f"`CREATE ROLE {role} LOGIN PASSWORD '…'`."
        )
    quote = connection.dialect.identifier_preparer.quote
    schema = quote(str(connection.scalar(text("SELECT current_schema()"))))
    name = quote(role)
    statements = [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {name}",
        f"GRANT USAGE ON SCHEMA {schema} TO {name}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {name}",
    ]
    for verbs, tables in _ONLY.items():
        listed = ", ".join(f"{schema}.{table}" for table in tables)
        statements += [f"REVOKE ALL ON {listed} FROM {name}"]
        statements += [f"GRANT {verbs} ON {listed} TO {name}"]
    for statement in statements:
        connection.exec_driver_sql(statement.replace("%", "%%"))


def owner_that_we_are(session: Session) -> str | None:
    """Return the tables' owner where this session can act as it; None where it can do less."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    owns = text(
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'consent_event'::regclass "
        "AND pg_has_role(current_user, relowner, 'MEMBER')"
    )
    found = session.scalar(owns)
    return None if found is None else str(found)


def refuse_stranger(engine: Engine) -> None:
    """Raise NotOurTables where the tables belong to somebody who has granted us nothing."""
    if engine.dialect.name != "postgresql":
        return
    held = text(
        "SELECT pg_get_userbyid(relowner), current_user FROM pg_class WHERE oid = "
        "to_regclass('alembic_version') AND NOT has_table_privilege(oid, 'SELECT')"
    )
    with engine.connect() as connection:
        found = connection.execute(held).first()
    if found is not None:
        owner, role = found
        raise NotOurTables(
            f"The tables belong to {owner}, and {role} may not use them: name {owner} in "
            f"MAILER_MIGRATION_URL and run `mailer db upgrade`, which grants what the service "
            f"needs; or, where {role} is to own them, `REASSIGN OWNED BY {owner} TO {role}`."
        )


def _refuse_not_owner(connection: Connection) -> None:
    """Raise CannotGrant where a table is not ours: PostgreSQL only warns, and grants nothing."""
    foreign = text(
        "SELECT pg_get_userbyid(relowner), current_user FROM pg_class "
        "WHERE relnamespace = to_regnamespace(current_schema()) AND relkind IN ('r', 'p') "
        "AND NOT pg_has_role(current_user, relowner, 'USAGE') LIMIT 1"
    )
    found = connection.execute(foreign).first()
    if found is not None:
        owner, role = found
        raise CannotGrant(
            f"The role {role} of MAILER_MIGRATION_URL does not own all tables: make it their owner "
            f"with `REASSIGN OWNED BY {owner} TO {role}`, in this database and as a superuser."
        )
