"""Topics and outcomes

Topics that readers choose, and a compiled mail for every outcome of a template's conditions.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables; what is compiled already is for all of its campaign's readers."""
    op.create_table(
        "topic",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("newsletter_id", BIG_ID, nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("sections", sa.JSON(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["newsletter_id"], ["newsletter.id"],
            name=op.f("fk_topic_newsletter_id_newsletter"), ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topic")),
        sa.UniqueConstraint("newsletter_id", "slug", name=op.f("uq_topic_newsletter_id_slug")),
    )  # fmt: skip
    op.create_index(op.f("ix_topic_newsletter_id"), "topic", ["newsletter_id"])
    op.create_table(
        "reader_topic",
        sa.Column("subscriber_id", BIG_ID, nullable=False),
        sa.Column("topic_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"],
            name=op.f("fk_reader_topic_subscriber_id_subscriber"), ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["topic_id"], ["topic.id"],
            name=op.f("fk_reader_topic_topic_id_topic"), ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subscriber_id", "topic_id", name=op.f("pk_reader_topic")),
    )  # fmt: skip
    op.create_table(
        "wanted_variant",
        sa.Column("campaign_id", BIG_ID, nullable=False),
        sa.Column("subscriber_id", BIG_ID, nullable=False),
        sa.Column("problem", sa.String(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"],
            name=op.f("fk_wanted_variant_campaign_id_campaign"), ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"],
            name=op.f("fk_wanted_variant_subscriber_id_subscriber"), ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "subscriber_id", name=op.f("pk_wanted_variant")),
    )  # fmt: skip
    op.add_column(
        "campaign", sa.Column("personal", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("variant", sa.Column("locale", sa.String(), server_default="", nullable=False))
    op.add_column("variant", sa.Column("path", sa.JSON(), server_default="[]", nullable=False))
    op.execute("UPDATE variant SET locale = key")
