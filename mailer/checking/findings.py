"""What a check finds."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad it is: an error keeps the mail from going, a warning wants a look, a note informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(NamedTuple):
    """One thing that was found, where (line, element or address), and how to mend it."""

    level: Level
    check: str
    where: str
    what: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it as `--json` shows it."""
        return {**self._asdict(), "level": self.level.value}


_ORDER = list(Level)


def sorted_once(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, worst first; of those that differ by their place alone the first."""
    kept: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        kept.setdefault((finding.check, finding.what), finding)
    return sorted(kept.values(), key=lambda each: _ORDER.index(each.level))


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return those that keep a mail from going."""
    return [finding for finding in findings if finding.level is Level.ERROR]
