"""What `mailer doctor` says of one thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    fine: bool
    says: str
    known: bool = True
    """False where it could not be looked at; that is no fault of the installation."""
    warns: bool = False
    """True where it works, and could be safer."""

    @property
    def result(self) -> str:
        """The finding in a word."""
        if not self.known:
            return "unknown"
        if self.fine and self.warns:
            return "warning"
        return "fine" if self.fine else "WRONG"
