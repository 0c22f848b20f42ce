"""Checked campaigns

A campaign is looked at before its first mail, and kept from going where the mail has errors.
"""

import sqlalchemy as sa
from alembic import op

from mailer.store.clock import Instant

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """When nothing stood in the way any more; what has begun already is not looked at again."""
    op.add_column("campaign", sa.Column("checked_at", Instant(), nullable=True))
    op.execute("UPDATE campaign SET checked_at = started_at WHERE started_at IS NOT NULL")
