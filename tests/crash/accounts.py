"""The account of one campaign: what was planned against what the relay's own file says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import building as b
from conftest import KEYS
from processes import clean_environment
from sink import accepted_by, noted

from mailer.wiring import Parts


@dataclass(frozen=True)
class Account:
    """Every reader of a campaign, by our tables and by the relay's file. The file is the truth."""

    states: dict[str, str]
    accepted: Counter[str]
    refused: frozenset[str]
    dropped: frozenset[str]

    @property
    def twice(self) -> set[str]:
        """Who got it more than once."""
        return {address for address, times in self.accepted.items() if times > 1}

    @property
    def uncertain(self) -> set[str]:
        """Of whom our tables say that nobody knows."""
        return self._in("uncertain")

    @property
    def missing(self) -> set[str]:
        """Who was planned, and neither got it, nor was refused for good, nor is listed."""
        return set(self.states) - set(self.accepted) - self.uncertain - self.refused

    def check(self, *, exposed: int) -> None:
        """Everybody once or listed by name; `exposed`: connections × crashes.

        One delivery per open connection may hang at a crash, and whatever the relay dropped after
        the dot.
        """
        assert not self.twice
        assert not self.missing
        assert set(self.states.values()) <= {"sent", "failed", "uncertain"}
        assert self._in("sent") <= set(self.accepted), "sent means that the relay said 250"
        assert self._in("failed") <= self.refused - set(self.accepted)
        assert len(self.uncertain - self.dropped) <= exposed
        assert self.dropped <= self.uncertain

    def figures(self, **more: int) -> dict[str, int]:
        """Return the numbers of this account, for the summary of a run."""
        return {
            "mails": len(self.states),
            "twice": len(self.twice),
            "missing": len(self.missing),
            "uncertain": len(self.uncertain),
            "dropped": len(self.dropped),
            **more,
        }

    def _in(self, state: str) -> set[str]:
        return {address for address, found in self.states.items() if found == state}


def account(parts: Parts, campaign_id: int, file: Path) -> Account:
    """Draw up the account of a campaign against the sink's file."""
    refused = frozenset(entry["to"] for entry in noted(file, "refused"))
    dropped = frozenset(entry["to"] for entry in noted(file, "dropped"))
    return Account(b.states(parts, campaign_id), accepted_by(file), refused, dropped)


def environment_of(parts: Parts, **more: str) -> dict[str, str]:
    """Return what a process needs to know to use this installation."""
    return {
        "MAILER_HOME": str(parts.settings.home),
        "MAILER_DATABASE_URL": parts.settings.database_url.replace("+psycopg", ""),
        **KEYS,
        **more,
    }


def relay_at(port: int, connections: int = 5) -> str:
    """Return the address of a sink."""
    return f"smtp://127.0.0.1:{port}?tls=none&connections={connections}"


def listed_as_uncertain(parts: Parts, campaign_id: int) -> set[str]:
    """Return whom `mailer campaign deliveries --state uncertain` names."""
    answer = subprocess.run(
        [sys.executable, "-m", "mailer", "campaign", "deliveries", str(campaign_id),
         "--state", "uncertain", "--json"],
        env=clean_environment(**environment_of(parts)), check=True, capture_output=True, text=True,
    )  # fmt: skip
    return {row["email"] for row in json.loads(answer.stdout)}
