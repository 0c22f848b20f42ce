"""An editor's word on a finished digest: yes, no, or nothing until it was too late."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

APPROVE_WITHIN = timedelta(hours=12)
"""How long an editor has, if nothing else is ordered: a morning's digest is of no use next day."""

LONGEST_WAIT = timedelta(days=7)


class Verdict(StrEnum):
    """What became of a question; the value of one that is open is empty."""

    OPEN = ""
    APPROVED = "approved"
    STOPPED = "stopped"
    SILENCE = "silence"
