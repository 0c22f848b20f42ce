"""When a delivery that the relay put off is tried again, and when it is out of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from mailer.domain.deliveries import DeliveryKind, Lane

_STEPS_MINUTES = (5, 10, 20, 40, 60)
_JITTER = 0.2


def retry_delay(attempts: int, jitter: float) -> timedelta:
    """Return how long to wait after the `attempts`-th failed attempt (1, 2, …).

    `jitter` is a random number in [0, 1): it spreads what failed together over ± 20 %, so that
    it does not come back together.
    """
    return timedelta(minutes=_step(_STEPS_MINUTES, attempts)) * (1 - _JITTER + 2 * _JITTER * jitter)


def lifetime(kind: DeliveryKind, lane: Lane) -> timedelta:
    """Return how long after planning a delivery is worth trying."""
    if kind in (DeliveryKind.CONFIRMATION, DeliveryKind.SERVICE):
        return timedelta(hours=24)
    if lane is Lane.BREAKING:
        return timedelta(hours=2)
    return timedelta(hours=72)


_RELAY_STEPS_SECONDS = (5, 15, 30, 60, 120, 300)
_PROVIDER_STEPS_MINUTES = (10, 20, 40, 60)


def relay_back_off(failures: int) -> timedelta:
    """Return how long a relay that failed `failures` times in a row is left alone."""
    return timedelta(seconds=_step(_RELAY_STEPS_SECONDS, failures))


def provider_back_off(failures: int) -> timedelta:
    """Return how long a receiving provider that turned us away so often in a row is left alone."""
    return timedelta(minutes=_step(_PROVIDER_STEPS_MINUTES, failures))


def _step(steps: Sequence[int], failures: int) -> int:
    return steps[min(max(failures, 1), len(steps)) - 1]
