"""Alembic runs this; the connection comes from `mailer.store.migrate`."""

from alembic import context

from mailer.store.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
