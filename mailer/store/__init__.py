"""SQLAlchemy: tables, engine, and all SQL. The ledger and `consents` keep the promises."""
