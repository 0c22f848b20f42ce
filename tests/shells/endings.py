"""How a command ends, and what it says to people and to programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on stdout: all of it, or this fails."""
        return json.loads(self.out)


Command = Callable[..., Ended]
"""Runs `mailer …` and returns how it ended."""


def refused(ended, sentence):
    """Say whether the command ended with this one line and nothing else for people to read."""
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.splitlines()[-1] == f"mailer: {sentence}"
    assert "Traceback" not in ended.err
