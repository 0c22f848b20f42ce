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


_WORDS = (
    "Two districts were told to leave before night. The bridge at Kassa is closed, and the night "
    "train ends one stop earlier than usual. The water stood higher than in any November that the "
    "harbour master has on record, and it is still rising."
)
STORY = f"""<!DOCTYPE html><html lang="en"><head><title>The river is rising</title>
<link rel="canonical" href="https://news.example.org/2026/river">
<meta property="og:type" content="article">
<meta property="og:title" content="The river is rising">
<meta property="og:description" content="Two districts were told to leave before night."></head>
<body><article><h1>The river is rising</h1><p>{_WORDS}</p><p>{_WORDS}</p></article></body></html>"""
"""The page of a story, as a newsroom's site would show it."""
