"""How long a sender's rounds take: how long it holds what it claimed, and when it looks again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Pace:
    """How senders spend their time."""

    lease: timedelta = timedelta(seconds=120)
    gate_to_body: timedelta = timedelta(seconds=5)
    look_again: timedelta = timedelta(seconds=2)
    drain: timedelta = timedelta(seconds=50)
    round_pause: timedelta = timedelta()


USUAL_PACE = Pace()
