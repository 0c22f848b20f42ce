"""Marking the sentences of the program that readers see."""

from __future__ import annotations


def N_(sentence: str) -> str:
    """Mark a sentence for the catalogues; it is translated where it is shown."""
    return sentence
