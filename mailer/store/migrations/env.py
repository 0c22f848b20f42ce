"""Alembic runs this; the connection comes from `mailer.store.migrate`."""

from alembic import context

from mailer.store.models import Base

PARTITIONED = ("delivery_", "attempt_")

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
    # Partitions are PostgreSQL's own matter: the models know the tables they belong to.
    include_name=lambda name, kind, _: kind != "table" or not str(name).startswith(PARTITIONED),
)
with context.begin_transaction():
    context.run_migrations()
