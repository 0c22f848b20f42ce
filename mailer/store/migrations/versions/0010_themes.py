"""A newsletter has a theme

Empty for those that are there: they look as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; its default is of the database, which asks no row."""
    column = sa.Column("theme", sa.JSON(), nullable=False, server_default="{}")
    op.add_column("newsletter", column)
