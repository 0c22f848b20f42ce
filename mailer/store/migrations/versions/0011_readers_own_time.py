"""Readers' own time

A campaign may come to every reader when the reader's own clock shows the same time.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A campaign's clock time; a digest's, with how late a run may be."""
    op.add_column("campaign", sa.Column("local_at", sa.String(), nullable=True))
    op.add_column(
        "digest",
        sa.Column("reader_local_time", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column("digest", sa.Column("next_local_at", sa.String(), nullable=True))
    op.add_column(
        "digest", sa.Column("fresh_seconds", sa.Integer(), server_default="43200", nullable=False)
    )
