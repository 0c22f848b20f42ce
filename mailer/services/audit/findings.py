"""What an audit finds: which row, and in words what does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a finding is about; docs/how-to/consent-audit.md says what each means."""

    DAMAGE = "damage"
    EVENT = "event"
    HISTORY = "history"
    LOG = "log"
    TIME = "time"
    TILE = "tile"
    CHECKPOINT = "checkpoint"
    EVIDENCE = "evidence"
    READER = "reader"
    NOTICE = "notice"
    SUBSCRIPTION = "subscription"
    DELIVERY = "delivery"
    SUPPRESSED = "suppressed"
    UNDECIDED = "undecided"
    WITNESS = "witness"
    BEGUN_ANEW = "begun-anew"

    @property
    def is_note(self) -> bool:
        """Whether it says what cannot be told, and not that something is wrong."""
        return self in (Kind.UNDECIDED, Kind.WITNESS, Kind.BEGUN_ANEW)


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that does not hold: its table, its primary key (parts with `/`), and why."""

    kind: Kind
    table: str
    row: str
    words: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the finding as `mailer consent audit --json` prints it."""
        words = self.words.encode("utf-8", "replace").decode()  # a damaged row may hold anything
        return {
            "kind": self.kind.value,
            "table": self.table,
            "row": self.row,
            "says": words,
            **self.details,
        }
