"""How fast a list of readers comes in with its consent events, and what that costs others.

    python -m bench.importing --rows 1000000 --database both

The list is imported by the command line in a process of its own. Beside it readers sign up, one
after the other, each in a transaction of its own; the longest wait of theirs is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import func, select

from bench import content
from bench.running import CannotMeasure
from bench.send import _databases
from mailer.domain.addresses import parse_address
from mailer.domain.consent import Method
from mailer.services.consent.signup import Signup, request_signup
from mailer.services.newsletters.newsletters import add_newsletter, add_purpose
from mailer.services.newsletters.notices import publish_notice
from mailer.store.consents import Evidence
from mailer.store.migrate import upgrade
from mailer.store.models import ConsentEvent, Newsletter
from mailer.wiring import Parts, open_parts

_BETWEEN = (0.05, 0.15)
_HEADER = (
    "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,CONFIRM_TIME,LEID,TIMEZONE,TAGS"
)


class SignUps(threading.Thread):
    """Readers who sign up while the import runs."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(name="sign-ups", daemon=True)
        self._parts = parts
        self.ended = threading.Event()
        self.milliseconds: list[float] = []

    def run(self) -> None:
        """Sign up until told to end."""
        number = 0
        while not self.ended.wait(random.uniform(*_BETWEEN)):
            number += 1
            began = time.perf_counter()
            self._sign_up(f"beside{number}@readers.example")
            self.milliseconds.append((time.perf_counter() - began) * 1e3)

    def _sign_up(self, address: str) -> None:
        parts = self._parts
        with parts.sessions.begin() as session:
            request_signup(
                session,
                Signup(
                    session.scalars(select(Newsletter)).one(),
                    parse_address(address),
                    ("updates",),
                    Evidence(Method.FORM, ip="192.0.2.7"),
                    None,
                ),
                renderer=parts.renderer,
                suppression_key=parts.suppression_key,
                now=parts.now(),
            )


def main() -> None:
    """Measure on each database, and print what it came to."""
    parser = argparse.ArgumentParser(
        prog="bench.importing", description=(__doc__ or "").split(",")[0]
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument(
        "--postgresql", metavar="URL", help="an empty database; else one is started"
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mailer-bench-"))
        folder.chmod(0o755)  # a PostgreSQL of our own runs as another user
        stack.callback(shutil.rmtree, folder)
        path = folder / "list.csv"
        _write_list(path, options.rows)
        for name, url in _databases(options, folder, stack):
            parts = _install(folder / name, url)
            stack.callback(parts.engine.dispose)
            print(json.dumps({"database": name, **_measure(parts, path, options.rows)}), flush=True)


def _write_list(path: Path, rows: int) -> None:
    """Write a list in the form of Mailchimp's, of invented readers in no order."""
    numbers = random.Random(1).sample(range(rows), rows)
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEADER + "\n")
        file.writelines(_row(number) for number in numbers)


def _row(number: int) -> str:
    day = f"2024-{number % 12 + 1:02}-{number % 28 + 1:02} {number % 24:02}:{number % 60:02}:00"
    return (
        f'reader.{number}@mail{number % 5000}.example.org,Amina,"O""Neill {number % 1000}",3,{day},'
        f'{day},{number},Africa/Lagos,"""members"""\n'
    )


def _install(home: Path, url: str) -> Parts:
    settings = content.settings(home, url, 25, 1)
    upgrade(settings.database_url)
    parts = open_parts(settings)
    with parts.sessions.begin() as session:
        made = add_newsletter(
            session,
            slug="weekly",
            name="The Weekly",
            sender="The Weekly <weekly@news.example.org>",
            postal_address="1 Road, Kassa",
            now=parts.now(),
        )
        add_purpose(session, made, "updates", "Updates from the newsroom")
        publish_notice(session, made, locale="en", text="You can leave any time.", now=parts.now())
    return parts


def _measure(parts: Parts, path: Path, rows: int) -> dict[str, object]:
    settings = parts.settings
    environment = {
        **os.environ,
        "MAILER_HOME": str(settings.home),
        "MAILER_DATABASE_URL": settings.database_url.replace("+psycopg", ""),
        "MAILER_PUBLIC_URL": settings.public_url,
        "MAILER_SMTP_URL": settings.smtp_url or "",
    }
    command = [
        sys.executable, "-m", "mailer", "subscriber", "import", "weekly", str(path),
        "--purpose", "updates", "--source", "the old list", "--notice-version", "1", "--json",
    ]  # fmt: skip
    signing = SignUps(parts)
    signing.start()
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    peaks = _Peaks(process.pid)
    peaks.start()
    output, _ = process.communicate()
    seconds = time.monotonic() - began
    signing.ended.set()
    signing.join()
    peaks.join()
    report = json.loads(output) if process.returncode == 0 else {}
    with parts.sessions() as session:
        events = session.scalar(
            select(func.count()).where(ConsentEvent.method == Method.IMPORT.value)
        )
    if report.get("new") != rows or events != rows:
        raise CannotMeasure(f"Not every reader came in, so that nothing was measured: {report}.")
    took = sorted(signing.milliseconds)
    return {
        "readers": rows,
        "readers_per_second": round(rows / seconds),
        "peak_mib": {name: round(peak / 1024) for name, peak in peaks.kib.items()},
        "sign_ups_beside": len(took),
        "median_ms": round(took[len(took) // 2], 1),
        "p99_ms": round(took[len(took) * 99 // 100], 1),
        "max_ms": round(took[-1], 1),
    }


class _Peaks(threading.Thread):
    """Looks at the peak memory of the import and of its helper until they end."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="peaks", daemon=True)
        self._pid = pid
        self.kib: dict[str, int] = {}

    def run(self) -> None:
        """Look ten times a second."""
        while (peak := _peak_kib(self._pid)) is not None:
            self.kib["import"] = peak
            helpers = [found for child in _children(self._pid) if (found := _peak_kib(child))]
            if helpers:
                self.kib["helper"] = max(self.kib.get("helper", 0), *helpers)
            time.sleep(0.1)


def _peak_kib(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return None
    return next(
        (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), None
    )


def _children(pid: int) -> Iterator[int]:
    try:
        yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split())
    except OSError:
        return


if __name__ == "__main__":
    main()
