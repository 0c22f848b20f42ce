"""One sender process: sends what is due, ends, and prints what it cost as one line of JSON."""

from __future__ import annotations

import json
import resource
import sys
import time

from mailer.wiring import open_parts


def main() -> None:
    """Send until nothing is due."""
    parts = open_parts()
    sender = parts.sender("bench")
    began, before = time.perf_counter(), _cpu_seconds()
    sender.start()
    sender.idle.wait()
    seconds, cpu = time.perf_counter() - began, _cpu_seconds() - before
    sender.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
    json.dump({"seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak}, sys.stdout)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
