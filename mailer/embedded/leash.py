"""Processes that die with their parent, however it dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals) -> None:
    """Ask the kernel to send this process `number` when its parent ends (Linux, prctl(2)).

    Elsewhere there is no such thing; the supervisor ends its children when it can, and a
    supervisor that is killed with -9 leaves them running.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def leashed(number: signal.Signals) -> Callable[[], None]:
    """Return what a child runs between fork and exec, so that it never outlives this process."""
    parent = os.getpid()
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def tie() -> None:
        if library is not None:
            library.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
            if os.getppid() != parent:  # it died before the leash was tied
                os._exit(1)

    return tie
