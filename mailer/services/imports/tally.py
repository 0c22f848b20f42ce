"""What became of the rows of a list, counted; every row once, so that the numbers add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mailer.domain.importing import Outcome, Reader

_EXAMPLES = 20


@dataclass(slots=True)
class Tally:
    """One number an outcome, and the first examples of rows that are worth a look."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    rejected: list[dict[str, Any]] = field(default_factory=list)
    doubled: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_counts(cls, counts: Mapping[str, Any]) -> Tally:
        """Return what an interrupted import has counted so far."""
        return cls({outcome: int(counts.get(outcome, 0)) for outcome in Outcome})

    def count(self, outcome: Outcome, number: int = 1) -> None:
        """Count the rows that stand for so many readers."""
        self.counts[outcome] += number

    def count_doubles(self, readers: Iterable[Reader]) -> None:
        """Count the other rows of these readers."""
        for reader in readers:
            if not reader.doubles:
                continue
            self.counts[Outcome.DOUBLED] += len(reader.doubles)
            for line in reader.doubles[: _EXAMPLES - len(self.doubled)]:
                self.doubled.append({"line": line, "same_as_line": reader.row.line})

    def reject(self, line: int, reason: str) -> None:
        """Count a row that cannot be used."""
        self.counts[Outcome.REJECTED] += 1
        self.show_rejected(line, reason)

    def show_rejected(self, line: int, reason: str) -> None:
        """Keep a row that was counted before as an example."""
        if len(self.rejected) < _EXAMPLES:
            self.rejected.append({"line": line, "reason": reason})

    def copy(self) -> Tally:
        """Return one to count on, which may be thrown away."""
        return Tally(dict(self.counts), self.rejected, list(self.doubled))


def repeated(counts: Mapping[str, Any]) -> dict[str, int]:
    """Return what a finished import comes to when it is asked for once more: nothing is new."""
    before = Tally.from_counts(counts).counts
    return {
        **before,
        Outcome.NEW: 0,
        Outcome.ALREADY: before[Outcome.ALREADY] + before[Outcome.NEW],
        Outcome.LEFT: 0,
        Outcome.STAYS_AWAY: before[Outcome.STAYS_AWAY] + before[Outcome.LEFT],
    }
