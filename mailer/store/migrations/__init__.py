"""Alembic migrations; `mailer.store.migrate` runs them."""
