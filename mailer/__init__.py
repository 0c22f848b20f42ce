"""Newsletters for news publishers: consent kept word for word, digests, exact delivery."""

__version__ = "0.1.0"
