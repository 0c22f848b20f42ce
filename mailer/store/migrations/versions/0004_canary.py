"""A sample goes first

What was ordered of a campaign's canary, who is in its sample, and how far it has come.
"""

import sqlalchemy as sa
from alembic import op

from mailer.store.clock import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """One table; campaigns that are there have no canary."""
    op.create_table(
        "canary",
        sa.Column("campaign_id", BIG_ID, nullable=False),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("share", sa.Integer(), nullable=True),
        sa.Column("failed_limit", sa.Integer(), nullable=False),
        sa.Column("wait_seconds", sa.Integer(), nullable=False),
        sa.Column("bound", sa.BigInteger(), nullable=True),
        sa.Column("readers", sa.Integer(), nullable=True),
        sa.Column("audience", sa.Integer(), nullable=True),
        sa.Column("tried_at", Instant(), nullable=True),
        sa.Column("held_at", Instant(), nullable=True),
        sa.Column("released_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaign.id"],
            name=op.f("fk_canary_campaign_id_campaign"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_canary")),
    )
