"""Deliveries that are cheap to claim and gate

Indexes over open rows speak of `settled_at` instead of `state`, so that PostgreSQL can lease and
gate a row in place; one of them serves the claim campaign by campaign. An attempt is known by its
delivery and fence, so that telling it twice writes it once.
"""

import sqlalchemy as sa
from alembic import op

from mailer.store.clock import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OPEN = sa.text("settled_at IS NULL")


def upgrade() -> None:
    """Other indexes on `delivery`; another key of `attempt`."""
    for old in ("ix_delivery_due", "ix_delivery_open_campaign", "ix_delivery_open_subscriber"):
        op.drop_index(old, table_name="delivery")
    for name, columns in (
        ("ix_delivery_open_due", ["campaign_id", "next_at"]),
        ("ix_delivery_open_subscriber", ["subscriber_id"]),
    ):
        op.create_index(name, "delivery", columns, postgresql_where=OPEN, sqlite_where=OPEN)
    _attempts_by_fence()
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE delivery_default SET (fillfactor = 60)")


def _attempts_by_fence() -> None:
    partitioned = op.get_bind().dialect.name == "postgresql"
    op.rename_table("attempt", "attempt_before")
    if partitioned:
        op.execute("ALTER TABLE attempt_before RENAME CONSTRAINT pk_attempt TO pk_attempt_before")
        op.rename_table("attempt_default", "attempt_before_default")
    op.create_table(
        "attempt",
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("relay", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("period", "delivery_id", "fence", name=op.f("pk_attempt")),
        postgresql_partition_by="RANGE (period)",
    )
    if partitioned:
        op.execute("CREATE TABLE attempt_default PARTITION OF attempt DEFAULT")
    op.execute(
        "INSERT INTO attempt (period, delivery_id, fence, at, relay, outcome, stage, reply) "
        "SELECT period, delivery_id, fence, at, relay, outcome, stage, reply FROM attempt_before "
        "WHERE true ORDER BY id ON CONFLICT DO NOTHING"
    )
    op.drop_table("attempt_before")
    if partitioned:
        op.execute("DROP SEQUENCE attempt_id_seq")
