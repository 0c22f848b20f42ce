"""Corrections

A campaign's content has versions, and so have the mails that are compiled of it; what has been
replaced is kept. A correction mail names the campaign that it corrects.
"""

import sqlalchemy as sa
from alembic import op

from mailer.store.clock import Instant

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Whatever is there already is of the first version."""
    op.add_column(
        "campaign", sa.Column("version", sa.Integer(), server_default="1", nullable=False)
    )
    op.add_column("campaign", sa.Column("corrects_id", sa.BigInteger(), nullable=True))
    op.add_column("campaign", sa.Column("corrects_below", sa.Integer(), nullable=True))
    op.add_column("variant", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.create_table(
        "replaced_content",
        sa.Column("campaign_id", BIG_ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("preheader", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("replaced_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"],
            name=op.f("fk_replaced_content_campaign_id_campaign"), ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "version", name=op.f("pk_replaced_content")),
    )  # fmt: skip
