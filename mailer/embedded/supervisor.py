"""One process that runs the others, passes signals on, and leaves nothing behind.

Children are leashed: killed in any way, the supervisor takes them along. A child that ends by
itself is started again; one that cannot even start ends everything, with its own last words.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from mailer.domain.errors import Refusal
from mailer.embedded.leash import leashed

_LOCK = "up.lock"
_LOOK_EVERY = 0.1
_READY_WITHIN = 30.0
_YOUNG = 10.0  # a child that ends before this age has not really started
_MOST_FALSE_STARTS = 3


class CannotSupervise(Refusal):
    """A child does not start, or another supervisor has this home."""


def supervisor_of(home: Path) -> str | None:
    """Return the process that supervises this home, or None where there is none."""
    try:
        with (home / _LOCK).open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return lock.read().strip() or "unknown"
    except OSError:
        pass
    return None


@dataclass(frozen=True)
class ChildSpec:
    """One process: its command, what its environment adds, and how to tell that it is ready."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None


@dataclass
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes]
    started: float
    false_starts: int = 0


class Supervisor:
    """Runs the children in order; the first to start is the last to stop."""

    def __init__(self, home: Path, specs: Sequence[ChildSpec], *, grace: float = 60.0) -> None:
        self._home = home
        self._specs = specs
        self._grace = grace
        self._children: list[_Child] = []
        self._stopping = False
        self._lock: IO[str] | None = None

    def start(self) -> None:
        """Start all children, each when the one before is ready; raises CannotSupervise."""
        self._take_home()
        (self._home / "logs").mkdir(parents=True, exist_ok=True)
        try:
            for spec in self._specs:
                child = _Child(spec, self._spawn(spec), time.monotonic())
                self._children.append(child)
                self._await_ready(child)
        except BaseException:
            self.stop()
            raise

    def run(self, tend: Callable[[], bool] = lambda: True) -> None:
        """Watch the children until SIGTERM, SIGINT, or until `tend` returns False."""
        previous = {
            number: signal.signal(number, self._ask_to_stop)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            while not self._stopping and tend():
                for child in self._children:
                    if child.process.poll() is not None and not self._stopping:
                        self._revive(child)
                time.sleep(_LOOK_EVERY)
        finally:
            self.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Ask the children to end, the first one last; kill whoever is not gone in time."""
        self._stopping = True
        first, others = self._children[:1], self._children[1:]
        for group in (others, first):
            for child in group:
                if child.process.poll() is None:
                    child.process.terminate()
            deadline = time.monotonic() + self._grace
            for child in group:
                try:
                    child.process.wait(max(deadline - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_home(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self._home / _LOCK).open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            other = lock.read().strip()
            lock.close()
            raise CannotSupervise(
                f"Another `mailer up` runs on {self._home} (process {other}): "
                "stop it first, or set MAILER_HOME."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _spawn(self, spec: ChildSpec) -> subprocess.Popen[bytes]:
        with self._log(spec).open("ab") as log:
            return subprocess.Popen(
                list(spec.argv),
                env={**os.environ, **spec.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A process group of its own: Ctrl-C reaches us alone, and we pass it on in order.
                process_group=0,
                preexec_fn=leashed(signal.SIGTERM),
            )

    def _await_ready(self, child: _Child) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while child.spec.ready is not None and not child.spec.ready():
            if child.process.poll() is not None or time.monotonic() > deadline:
                raise CannotSupervise(self._why(child.spec))
            time.sleep(_LOOK_EVERY / 2)

    def _revive(self, child: _Child) -> None:
        young = time.monotonic() - child.started < _YOUNG
        child.false_starts = child.false_starts + 1 if young else 0
        if child.false_starts >= _MOST_FALSE_STARTS:
            raise CannotSupervise(self._why(child.spec))
        time.sleep(0.2 * 2**child.false_starts)
        child.process, child.started = self._spawn(child.spec), time.monotonic()

    def _why(self, spec: ChildSpec) -> str:
        lines = self._log(spec).read_text("utf-8", "replace").strip().splitlines()
        said = lines[-1].removeprefix("mailer: ") if lines else "it said nothing"
        return f"The {spec.name} process does not start: {said} (see {self._log(spec)})"

    def _log(self, spec: ChildSpec) -> Path:
        return self._home / "logs" / f"{spec.name}.log"

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
