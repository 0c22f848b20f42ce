"""Sources and selection

The health of feeds, the feeds of an article, a digest's rules, what an editor has said of an
article or of a finished digest, and the addresses of the house that get a copy.
"""

import sqlalchemy as sa
from alembic import op

from mailer.store.clock import Instant

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Columns with a value for the rows that are there; an article has the feed it came from."""
    op.add_column("feed", sa.Column("name", sa.String(), server_default="", nullable=False))
    op.add_column("feed", sa.Column("section", sa.String(), server_default="", nullable=False))
    op.add_column("feed", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("feed", sa.Column("failing_since", Instant(), nullable=True))
    op.add_column("feed", sa.Column("next_read_at", Instant(), nullable=True))
    op.add_column("article", sa.Column("updated_at", Instant(), nullable=True))
    op.add_column("digest", sa.Column("rules", sa.JSON(), server_default="{}", nullable=False))
    op.add_column("digest", sa.Column("approve_by", sa.String(), server_default="", nullable=False))
    op.add_column(
        "digest", sa.Column("approve_hash", sa.String(), server_default="", nullable=False)
    )
    op.add_column(
        "digest", sa.Column("approve_seconds", sa.Integer(), server_default="43200", nullable=False)
    )
    op.add_column("digest_article", sa.Column("told_by", sa.BigInteger(), nullable=True))
    op.add_column("campaign", sa.Column("seeded_at", Instant(), nullable=True))
    _create_pair("article_source", "article", "feed")
    op.create_index(op.f("ix_article_source_feed_id"), "article_source", ["feed_id"])
    op.execute(
        "INSERT INTO article_source (article_id, feed_id) "
        "SELECT id, feed_id FROM article WHERE feed_id IS NOT NULL"
    )
    _create_pair(
        "digest_mark", "digest", "article",
        sa.Column("mark", sa.String(), nullable=False),
        sa.Column("marked_at", Instant(), nullable=False),
    )  # fmt: skip
    op.create_table(
        "approval",
        sa.Column("campaign_id", BIG_ID, nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("recipient_hash", sa.String(), nullable=False),
        sa.Column("until", Instant(), nullable=False),
        sa.Column("asked_at", Instant(), nullable=True),
        sa.Column("decision", sa.String(), server_default="", nullable=False),
        sa.Column("decided_at", Instant(), nullable=True),
        _reference("approval", "campaign"),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_approval")),
    )
    op.create_table(
        "seed",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("newsletter_id", BIG_ID, nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("address_hash", sa.String(), nullable=False),
        sa.Column("added_at", Instant(), nullable=False),
        _reference("seed", "newsletter"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seed")),
        sa.UniqueConstraint(
            "newsletter_id", "address_hash", name=op.f("uq_seed_newsletter_id_address_hash")
        ),
    )
    op.create_index(op.f("ix_seed_newsletter_id"), "seed", ["newsletter_id"])


def _create_pair(table: str, one: str, other: str, *more: "sa.Column[object]") -> None:
    """Create a table whose key is a pair of rows; it goes with either of them."""
    op.create_table(
        table,
        sa.Column(f"{one}_id", BIG_ID, nullable=False),
        sa.Column(f"{other}_id", BIG_ID, nullable=False),
        *more,
        _reference(table, one),
        _reference(table, other),
        sa.PrimaryKeyConstraint(f"{one}_id", f"{other}_id", name=op.f(f"pk_{table}")),
    )


def _reference(table: str, named: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [f"{named}_id"], [f"{named}.id"],
        name=op.f(f"fk_{table}_{named}_id_{named}"), ondelete="CASCADE",
    )  # fmt: skip
