"""Sentences of the program that readers see."""

from __future__ import annotations


def N_(sentence: str) -> str:  # noqa: N802 — the name that gettext's tools look for
    """Mark a sentence for the catalogues; it is translated where it is shown."""
    return sentence
