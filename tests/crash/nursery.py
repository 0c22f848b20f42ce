"""Sender processes at the price of a fork: everything is imported once, in a process of its own.

One line of JSON in (`Nursery.run`), one exit code out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mailer.embedded.leash import die_with_parent, leashed

_LONGEST_LIFE = 60  # seconds


class Nursery:
    """Raises one process at a time and waits for its end."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests = requests
        self._answers = answers

    def run(self, environment: dict[str, str], log: Path, **order: Any) -> int:
        """Run a sender process by this order (`sender.Order`) to its end; return its exit code."""
        request = {"environment": environment, "log": str(log), "order": order}
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        return int(self._answers.readline())


@contextmanager
def running_nursery() -> Iterator[Nursery]:
    """Run the process that forks."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=leashed(signal.SIGKILL),
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        yield Nursery(process.stdin, process.stdout)
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def _raise_them() -> None:
    from sender import Order, live

    from mailer.settings import load
    from mailer.wiring import open_parts

    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            die_with_parent(signal.SIGKILL)
            signal.alarm(_LONGEST_LIFE)
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            try:
                settings = load(request["environment"], directory=Path(request["log"]).parent)
                live(open_parts(settings), Order(**request["order"]))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _raise_them()
