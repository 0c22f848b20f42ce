"""Why an address must not be mailed, and how far that reaches."""

from __future__ import annotations

from enum import StrEnum


class SuppressionReason(StrEnum):
    """What put the address on the list."""

    HARD_BOUNCE = "hard-bounce"
    COMPLAINT = "complaint"
    ERASURE = "erasure"
    OPERATOR = "operator"


SCOPE_ALL = "all"
"""The scope that reaches every newsletter; any other scope is a newsletter's slug."""
