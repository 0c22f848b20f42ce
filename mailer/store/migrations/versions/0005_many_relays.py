"""Many relays

Relays beside the one from the settings, in an order of preference; what receiving providers have
taught us; what waits for them; and how many mails a relay that is warming up has had.
"""

import sqlalchemy as sa
from alembic import op

from mailer.store.clock import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Columns with a value for the rows that are there; what was paused stays so."""
    op.add_column("delivery", sa.Column("held_from", Instant(), nullable=True))
    op.add_column("relay", sa.Column("sealed_password", sa.String(), nullable=True))
    op.add_column(
        "relay", sa.Column("preference", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("relay", sa.Column("use", sa.String(), server_default="active", nullable=False))
    op.add_column("relay", sa.Column("warm_up_first", sa.Integer(), nullable=True))
    op.add_column("relay", sa.Column("warm_up_growth", sa.Double(), nullable=True))
    op.add_column("relay", sa.Column("warm_up_since", Instant(), nullable=True))
    op.execute("UPDATE relay SET use = 'paused' WHERE paused")
    op.drop_column("relay", "paused")
    op.add_column("relay_state", sa.Column("probed_until", Instant(), nullable=True))
    op.add_column("relay_state", sa.Column("probed_by", sa.String(), nullable=True))
    op.add_column("relay_state", sa.Column("slowed_at", Instant(), nullable=True))
    op.create_table(
        "relay_day",
        sa.Column("relay_id", BIG_ID, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["relay_id"], ["relay.id"],
            name=op.f("fk_relay_day_relay_id_relay"), ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("relay_id", "day", name=op.f("pk_relay_day")),
    )  # fmt: skip
    op.create_table(
        "provider_hold",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_provider_hold")),
    )
