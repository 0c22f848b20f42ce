"""Images

Mails show images that we keep; an article says whether it is for subscribers only.
"""

import sqlalchemy as sa
from alembic import op

from mailer.store.clock import Instant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Campaigns that there are keep the addresses that they were made with."""
    op.add_column(
        "article", sa.Column("paywalled", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.create_table(
        "image",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("fetched_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_image")),
    )
    op.create_table(
        "campaign_image",
        sa.Column("campaign_id", BIG_ID, nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], ondelete="CASCADE",
            name=op.f("fk_campaign_image_campaign_id_campaign"),
        ),
        sa.ForeignKeyConstraint(
            ["sha256"], ["image.sha256"], name=op.f("fk_campaign_image_sha256_image")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "sha256", name=op.f("pk_campaign_image")),
    )  # fmt: skip
    op.create_index(op.f("ix_campaign_image_sha256"), "campaign_image", ["sha256"])
