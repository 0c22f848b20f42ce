"""Making the consent log longer: what waits gets its place, every second and when it is needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from mailer.domain.errors import Refusal
from mailer.store.engine import Sessions, reading
from mailer.store.log import hold_log, leaves_wait, sequence

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Batch:
    """How many leaves a transaction takes, and how long others may write before the next one."""

    most: int
    pause: float


_BATCHES = {
    # Nobody else writes meanwhile: 50 ms at most, and then a chance for those who wait.
    "sqlite": _Batch(1_024, 0.002),
    "postgresql": _Batch(10_000, 0.0),
}


def sequence_leaves(
    sessions: Sessions, *, wait: bool = True, pause: Callable[[float], None] = time.sleep
) -> int:
    """Give every leaf that waits its place; return how many those were.

    With `wait`, all that was committed before has its place afterwards; without, nothing is done
    where somebody else is at it. Raises LogDamaged.
    """
    with reading(sessions) as session:
        if not leaves_wait(session):
            return 0
        batch = _BATCHES[session.get_bind().dialect.name]
    after, count = 0, 0
    while True:
        with sessions.begin() as session:
            if not hold_log(session, wait=wait):
                return count
            taken = sequence(session, after=after, most=batch.most)
        count += len(taken)
        if len(taken) < batch.most:
            return count
        after = taken[-1]
        pause(batch.pause)


def sequence_in_turn(sessions: Sessions) -> None:
    """Do so where nobody else is at it; what is wrong with the log is logged, and stops nobody."""
    try:
        sequence_leaves(sessions, wait=False)
    except Refusal as refusal:
        _log.error("consent log refused", reason=str(refusal))
    except Exception:
        _log.exception("step failed", step="sequence leaves")
