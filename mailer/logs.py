"""Where our own log lines go: to stderr, and never in anybody's way.

Stdout is for answers alone: `--json` promises one document there. And whoever reads our stderr may
go away; a ledger's thread must not end because it had something to say.
"""

from __future__ import annotations

import contextlib
import sys

import structlog


class _Stderr:
    """What is stderr at the moment of speaking; a line that cannot be written is not written."""

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)

    log = debug = info = warning = error = critical = msg


def log_to_stderr() -> None:
    """Let all log lines of this process go to stderr; tracebacks hold no reader's data."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    before = structlog.get_config()["processors"][:-1]
    structlog.configure(processors=[*before, plain], logger_factory=lambda *_: _Stderr())
