"""Consent: said, confirmed, changed, withdrawn or run out; kept in the log, and proved from it."""
