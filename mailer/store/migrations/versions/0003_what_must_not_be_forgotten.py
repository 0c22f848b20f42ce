"""What must not be forgotten

Articles that were removed or corrected by hand, until when a campaign is worth sending, who reads a
digest's feeds just now, what a reader said of themselves before confirming, and whose address a
test goes to.
"""

import sqlalchemy as sa
from alembic import op

from mailer.store.clock import Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Columns with a value for the rows that are there."""
    op.add_column("article", sa.Column("removed_at", Instant(), nullable=True))
    op.add_column(
        "article", sa.Column("edited_fields", sa.JSON(), server_default="[]", nullable=False)
    )
    op.add_column("campaign", sa.Column("ends_at", Instant(), nullable=True))
    op.add_column(
        "campaign", sa.Column("spread_seconds", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("digest", sa.Column("busy_until", Instant(), nullable=True))
    op.add_column(
        "subscription", sa.Column("details", sa.JSON(), server_default="{}", nullable=False)
    )
    # With the newsletter alone, SQLite walks over all its readers to find one.
    op.drop_index("ix_subscription_newsletter_id", table_name="subscription")
    op.create_index(
        "ix_subscription_newsletter", "subscription", ["newsletter_id", "subscriber_id"]
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_subscription_pending", "subscription", ["since"],
        postgresql_where=pending, sqlite_where=pending,
    )  # fmt: skip
    op.add_column("delivery", sa.Column("recipient_hash", sa.Text(), nullable=True))
    op.execute(
        "UPDATE campaign SET ends_at = (SELECT max(delivery.expires_at) FROM delivery "
        "WHERE delivery.campaign_id = campaign.id) WHERE started_at IS NOT NULL"
    )
    nobody_knows = sa.text("outcome = 'uncertain'")
    op.create_index(
        "ix_attempt_uncertain", "attempt", ["delivery_id"],
        postgresql_where=nobody_knows, sqlite_where=nobody_knows,
    )  # fmt: skip
    # Mails are compiled to another form now: what is under way is compiled once more.
    op.execute("DELETE FROM variant")
    op.execute(
        "UPDATE campaign SET state = 'preparing', cursor_subscriber_id = upper_subscriber_id "
        "WHERE state = 'sending'"
    )
