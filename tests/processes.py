"""Real processes of ours, and whether anything of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mailer.embedded.leash import leashed

WITHIN = 90.0


def until(
    look: Callable[[], object], what: str, within: float = WITHIN, *, every: float = 0.1
) -> None:
    """Wait until `look` finds something."""
    deadline = time.monotonic() + within
    while not look():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(every)


def clean_environment(**more: str) -> dict[str, str]:
    """Return this environment without settings of ours, and without SpamAssassin, which is slow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILER_")}
    return {**kept, "MAILER_SPAMASSASSIN": "none", **more}


@contextmanager
def running(
    arguments: Sequence[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `mailer …` beside us; it ends with us, however we end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mailer", *arguments],
            env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            preexec_fn=leashed(signal.SIGTERM),
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def left_of(home: Path) -> list[int]:
    """Return the processes whose environment or command line names this home."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if os.fsencode(home) in told and state != "Z":
            found.append(int(entry.name))
    return found
