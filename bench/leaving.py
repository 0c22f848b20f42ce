"""How long a reader's leaving takes while a campaign is sent at full speed; prints JSON.

    python -m bench.leaving --database sqlite --messages 60000

Readers leave one after the other, as the one-click link lets them: one transaction each, from
another process than the sender's.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import select

from bench import content
from bench.running import CannotMeasure, send_all
from bench.send import _databases, _smtp_sink
from mailer.domain.consent import Method
from mailer.services.consent.preferences import leave
from mailer.store.consents import Evidence
from mailer.store.engine import reading
from mailer.store.models import delivery
from mailer.wiring import Parts

_BETWEEN = (0.005, 0.03)
_SHARE = 50
"""Of so many readers one leaves at most: the last ones, whose mails wait longest."""


class Leavers(threading.Thread):
    """Lets one reader after the other leave, once the first mail is sent, until told to end."""

    def __init__(self, parts: Parts, readers: int) -> None:
        super().__init__(name="leavers", daemon=True)
        self._parts = parts
        self._readers = readers
        self.ended = threading.Event()
        self.milliseconds: list[float] = []

    def run(self) -> None:
        while not self._sends() and not self.ended.wait(0.05):
            pass
        for subscriber_id in self._order():
            if self.ended.wait(random.uniform(*_BETWEEN)):
                return
            self._leave(subscriber_id)

    def _sends(self) -> bool:
        with reading(self._parts.sessions) as session:
            sent = select(delivery.c.id).where(delivery.c.state == "sent").limit(1)
            return session.scalar(sent) is not None

    def _order(self) -> Iterator[int]:
        last = range(self._readers - self._readers // _SHARE + 1, self._readers + 1)
        yield from random.sample(last, len(last))

    def _leave(self, subscriber_id: int) -> None:
        parts = self._parts
        token = parts.links.unsubscribe(1, subscriber_id).rpartition("/")[2]
        began = time.perf_counter()
        with parts.sessions.begin() as session:
            leave(session, parts.signer, token, Evidence(Method.ONE_CLICK), now=parts.now())
        self.milliseconds.append((time.perf_counter() - began) * 1e3)


def main() -> None:
    """Measure on each database, and print what it came to."""
    parser = argparse.ArgumentParser(
        prog="bench.leaving", description=(__doc__ or "").split(";")[0]
    )
    parser.add_argument("--messages", type=int, default=60_000)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="sqlite")
    parser.add_argument("--postgresql", help="an empty database's URL; else one is started")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mailer-bench-"))
        folder.chmod(0o755)  # a PostgreSQL of our own runs as another user
        stack.callback(shutil.rmtree, folder)
        port = stack.enter_context(_smtp_sink())
        for name, url in _databases(options, folder, stack):
            settings = content.settings(folder / name, url, port, options.connections)
            parts = content.install(settings, options.messages)
            stack.callback(parts.engine.dispose)
            print(json.dumps({"database": name, **_measure(parts, options.messages)}))


def _measure(parts: Parts, readers: int) -> dict[str, float]:
    content.start(parts)
    leavers = Leavers(parts, readers)
    leavers.start()
    try:
        cost = send_all(parts, more={})
    finally:
        leavers.ended.set()
        leavers.join()
    took = sorted(leavers.milliseconds)
    if not took:
        raise CannotMeasure("The campaign was over before anybody could leave: send more mails.")
    return {
        "left": len(took),
        "median_ms": round(took[len(took) // 2], 1),
        "p99_ms": round(took[len(took) * 99 // 100], 1),
        "max_ms": round(took[-1], 1),
        "mails_per_second": round((readers - len(took)) / cost.seconds),
    }


if __name__ == "__main__":
    main()
