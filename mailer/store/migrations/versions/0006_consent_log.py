"""Consent log

Every consent event becomes a leaf of a log that can only grow; what is personal in it is sealed
under a key of the reader's own. What operators do, who was forgotten, and which files were imported
is written down; the witness folder learns of it.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import context, op

from mailer.domain.errors import Refusal
from mailer.domain.leaves import Leaf, NoticeRef, commitment, commitment_key, instant
from mailer.store.clock import Instant
from mailer.store.guards import refuse
from mailer.store.vault import Vault

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
EMPTY = sa.text("''")


def upgrade() -> None:
    """New columns and tables; then what was said before becomes leaves like all others."""
    _columns()
    _asking_again()
    _evidence_apart()
    _log()
    _accounts()
    _retention()
    _journals()
    _seal_what_was_said_before()
    _guard()


def _columns() -> None:
    op.add_column(
        "subscriber",
        sa.Column("sealed_key", sa.LargeBinary(), server_default=EMPTY, nullable=False),
    )
    op.add_column("installation", sa.Column("halted", sa.String(), nullable=True))
    op.add_column("installation", sa.Column("halted_at", Instant(), nullable=True))
    op.add_column("subscription", sa.Column("valid_until", Instant(), nullable=True))
    active = sa.text("state = 'active'")
    op.drop_index("ix_subscription_active", "subscription")
    op.create_index(
        "ix_subscription_active", "subscription", ["purpose_id", "subscriber_id", "valid_until"],
        postgresql_where=active, sqlite_where=active,
    )  # fmt: skip
    ends = sa.text("valid_until IS NOT NULL")
    op.create_index(
        "ix_subscription_ends", "subscription", ["valid_until"],
        postgresql_where=ends, sqlite_where=ends,
    )  # fmt: skip
    for column in (
        sa.Column("basis", sa.String(), server_default="consent", nullable=False),
        sa.Column("stated_at", Instant(), nullable=True),
        sa.Column("valid_until", Instant(), nullable=True),
        sa.Column("commitment", sa.LargeBinary(), server_default=EMPTY, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), server_default=EMPTY, nullable=False),
    ):
        op.add_column("consent_event", column)


def _asking_again() -> None:
    """A campaign may ask readers to renew; how that ends is looked up in what they said."""
    op.add_column("campaign", sa.Column("renews_notice_id", sa.BigInteger(), nullable=True))
    op.add_column("campaign", sa.Column("answer_by", Instant(), nullable=True))


def _evidence_apart() -> None:
    op.rename_table("consent_evidence", "evidence_before")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE evidence_before RENAME CONSTRAINT pk_consent_evidence TO pk_before")
    op.create_table(
        "consent_evidence",
        sa.Column("event", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("event", name=op.f("pk_consent_evidence")),
    )


def _log() -> None:
    op.create_table(
        "consent_pending",
        sa.Column("event", BIG_ID, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("event", name=op.f("pk_consent_pending")),
    )
    op.create_table(
        "consent_log",
        sa.Column("leaf_index", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("event", BIG_ID, nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name=op.f("pk_consent_log")),
        sa.UniqueConstraint("event", name=op.f("uq_consent_log_event")),
    )
    op.create_table(
        "consent_tile",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("number", BIG_ID, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number", name=op.f("pk_consent_tile")),
    )
    op.create_table(
        "consent_checkpoint",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("size", BIG_ID, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_checkpoint")),
        sa.UniqueConstraint("origin", "size", name=op.f("uq_consent_checkpoint_origin_size")),
    )


def _accounts() -> None:
    op.create_table(
        "operator_action",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("operator", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subscriber_id", BIG_ID, nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_action")),
    )
    op.create_index(op.f("ix_operator_action_subscriber_id"), "operator_action", ["subscriber_id"])
    op.create_table(
        "erasure",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("subscriber_id", BIG_ID, nullable=False),
        sa.Column("address_hash", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("cleaned_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
        sa.UniqueConstraint("subscriber_id", name=op.f("uq_erasure_subscriber_id")),
    )
    op.create_table(
        "import_run",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("newsletter_id", BIG_ID, nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.Column("rows_done", BIG_ID, nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["newsletter_id"], ["newsletter.id"],
            name=op.f("fk_import_run_newsletter_id_newsletter"), ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_run")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_import_run_fingerprint")),
    )  # fmt: skip
    op.create_index(op.f("ix_import_run_newsletter_id"), "import_run", ["newsletter_id"])
    op.create_table(
        "witness",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("beat", BIG_ID, nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_witness")),
    )


def _retention() -> None:
    op.add_column("installation", sa.Column("retained_at", Instant(), nullable=True))
    to_an_address = sa.text("recipient_hash IS NOT NULL")
    op.create_index(
        "ix_delivery_recipient_hash", "delivery", ["recipient_hash"],
        postgresql_where=to_an_address, sqlite_where=to_an_address,
    )  # fmt: skip


def _journals() -> None:
    """What waits to be told to the witness folder; it is told of what is suppressed already."""
    waiting = op.create_table(
        "journal_pending",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("journal", sa.String(), nullable=False),
        sa.Column("line", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_pending")),
    )
    connection = op.get_bind()
    suppressed = connection.execute(
        sa.text("SELECT address_hash, scope, reason, created_at FROM suppression").columns(
            created_at=Instant()
        )
    )
    lines = [
        {"at": instant(row.created_at), "address_hash": row.address_hash, "scope": row.scope}
        | {"reason": row.reason}
        for row in suppressed
    ]
    if lines:
        rows = [{"journal": "suppressions", "line": line} for line in lines]
        connection.execute(sa.insert(waiting), rows)


def _guard() -> None:
    """From here on nothing of this is changed."""
    for table in ("consent_event", "consent_log", "consent_tile", "consent_checkpoint", "notice"):
        refuse(op.get_bind(), table, ("UPDATE", "DELETE", "TRUNCATE"))
    refuse(op.get_bind(), "consent_evidence", ("UPDATE",))
    refuse(op.get_bind(), "operator_action", ("UPDATE", "TRUNCATE"))  # old ones may be retired


def _seal_what_was_said_before() -> None:
    connection = op.get_bind()
    keys = {
        row.id: _give_key(connection, row.id)
        for row in connection.execute(sa.text("SELECT id FROM subscriber")).all()
    }
    events = connection.execute(
        sa.text(
            "SELECT e.*, n.slug AS newsletter, p.slug AS purpose, w.sha256, w.version, w.locale, "
            "b.address, b.ip, b.page_url, b.user_agent, b.source, b.confirmation_message_id "
            "FROM consent_event e JOIN newsletter n ON n.id = e.newsletter_id "
            "JOIN purpose p ON p.id = e.purpose_id LEFT JOIN notice w ON w.id = e.notice_id "
            "LEFT JOIN evidence_before b ON b.event_id = e.event_id ORDER BY e.id"
        ).columns(at=Instant())
    ).all()
    for event in events:
        key = keys.get(event.subscriber_id) or _vault().new_key()[0]
        _make_leaf(connection, event, key)
    op.drop_table("evidence_before")


def _give_key(connection: sa.Connection, subscriber_id: int) -> bytes:
    key, sealed = _vault().new_key()
    connection.execute(
        sa.text("UPDATE subscriber SET sealed_key = :sealed WHERE id = :id"),
        {"sealed": sealed, "id": subscriber_id},
    )
    return key


def _make_leaf(connection: sa.Connection, event: Any, key: bytes) -> None:
    names = ("address", "ip", "page_url", "user_agent", "source", "confirmation_message_id")
    personal = {name: getattr(event, name) or "" for name in names}
    committed = commitment(commitment_key(key, event.event_id), personal)
    at: datetime = event.at
    leaf = Leaf(
        event_id=event.event_id, at=at, newsletter=event.newsletter, purpose=event.purpose,
        reader=event.subscriber_id, state=event.state, method=event.method, basis="consent",
        notice=NoticeRef(event.sha256, event.version, event.locale, bool(event.notice_assumed))
        if event.sha256
        else None,
        commitment=committed,
    )  # fmt: skip
    sealed = _vault().seal(key, event.event_id, personal)
    for statement in (
        "UPDATE consent_event SET commitment = :commitment, leaf_hash = :hash WHERE id = :id",
        "INSERT INTO consent_evidence (event, sealed) VALUES (:id, :sealed)",
        "INSERT INTO consent_pending (event) VALUES (:id)",
    ):
        connection.execute(
            sa.text(statement),
            {"commitment": committed, "hash": leaf.hash, "id": event.id, "sealed": sealed},
        )


def _vault() -> Vault:
    vault = context.config.attributes.get("vault")
    if not isinstance(vault, Vault):
        raise Refusal(
            "The evidence of consent is to be sealed, and there is no MAILER_EVIDENCE_KEY: "
            "run `mailer db upgrade` where the keys are."
        )
    return vault
