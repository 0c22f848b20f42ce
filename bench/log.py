"""How fast the consent log takes in a million events, and how long one proof takes; prints a table.

    python -m bench.log --database both --events 1000000

The events wait for their place as an import leaves them. While the sequencer gives it to them,
another process fills in the sign-up form again and again, each time in a transaction of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from bench import content
from bench.running import CannotMeasure
from bench.send import _databases
from mailer.domain.addresses import parse_address
from mailer.domain.consent import Method
from mailer.domain.proofs import verify_proof
from mailer.services.consent.adding import add_reader
from mailer.services.consent.checkpoints import sign_checkpoint
from mailer.services.consent.log import sequence_leaves
from mailer.services.consent.proving import Asked, prove
from mailer.services.consent.signup import Signup, request_signup
from mailer.services.newsletters.notices import publish_notice
from mailer.settings import Settings
from mailer.store.consents import Evidence
from mailer.store.models import ConsentEvent, LogEntry, Newsletter
from mailer.store.readers import ReaderDetails
from mailer.wiring import Parts, open_parts

_BATCH = 50_000
_HASHES = {"sqlite": "randomblob(32)", "postgresql": "sha256(CAST(n AS text)::bytea)"}
_IDS = {"sqlite": "printf('%032x', n)", "postgresql": "lpad(to_hex(n), 32, '0')"}
_MOMENTS = {"sqlite": "'2026-11-01 09:00:00.000'", "postgresql": "now()"}
_BETWEEN_SIGNUPS = 0.02
_ALONE = 5.0
"""Seconds in which readers sign up and nobody makes the log longer, for comparison."""

_PROOFS = 20
_WITNESS = "amina@readers.example"


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Measure on each database, print the table, and return its rows."""
    parser = argparse.ArgumentParser(prog="bench.log", description=(__doc__ or "").split(";")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--postgresql", help="an empty database's URL; else one is started")
    options = parser.parse_args(arguments)
    rows = []
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mailer-bench-"))
        folder.chmod(0o755)  # a PostgreSQL of our own runs as another user
        stack.callback(shutil.rmtree, folder)
        for name, url in _databases(options, folder, stack):
            settings = content.settings(folder / name, url, smtp_port=9, connections=1)
            parts = content.install(settings, 0)
            stack.callback(parts.engine.dispose)
            rows.append({"database": name, **_measure(parts, options.events)})
    _print(rows)
    return rows


def _measure(parts: Parts, events: int) -> dict[str, Any]:
    _add_events(parts, events)
    with _signups_beside(parts.settings) as alone:
        time.sleep(_ALONE)
    with _signups_beside(parts.settings) as took:
        began, worked = time.perf_counter(), time.process_time()
        taken = sequence_leaves(parts.sessions)
        seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    if not took:
        raise CannotMeasure("All had their place before anybody signed up: take more events.")
    with parts.sessions() as session:
        last = session.scalar(select(func.max(LogEntry.leaf_index)))
        if last is None or last + 1 < events:
            raise CannotMeasure(f"The log ends at {last}.")
    began = time.perf_counter()
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    signing = time.perf_counter() - began
    proofs = [_prove(parts) for _ in range(_PROOFS)]
    took.sort()
    return {
        "leaves": taken,
        "leaves_per_second": round(taken / seconds),
        "cpu_us_per_leaf": round(cpu / taken * 1e6, 1),  # ours, whatever else the machine does
        "signups": len(took),
        "signup_median_ms": round(statistics.median(took), 1),
        "signup_longest_ms": round(took[-1], 1),
        "alone_median_ms": round(statistics.median(alone), 1),
        "alone_longest_ms": round(max(alone), 1),
        "checkpoint_ms": round(signing * 1e3, 1),
        "proof_median_ms": round(statistics.median(proofs), 1),
        "proof_longest_ms": round(max(proofs), 1),
    }


def _add_events(parts: Parts, number: int) -> None:
    """Add events that wait for their place, and in their middle what one reader really said."""
    with parts.sessions.begin() as session:
        newsletter = session.scalars(select(Newsletter)).one()
        publish_notice(
            session, newsletter, locale="en", text="We write every week.", now=parts.now()
        )
    half = number // 2
    for first in range(1, half + 1, _BATCH):
        _add_batch(parts, first, min(first + _BATCH - 1, half))
    _add_witness(parts)
    for first in range(half + 1, number + 1, _BATCH):
        _add_batch(parts, first, min(first + _BATCH - 1, number))
    if parts.engine.dialect.name == "postgresql":
        with parts.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _add_batch(parts: Parts, first: int, last: int) -> None:
    dialect = parts.engine.dialect.name
    series = content.series(dialect, first, last)
    with parts.sessions.begin() as session:
        newest = session.scalar(select(func.coalesce(func.max(ConsentEvent.id), 0)))
        session.execute(
            text(
                "INSERT INTO consent_event (event_id, newsletter_id, purpose_id, subscriber_id, "
                "state, method, notice_assumed, at, commitment, leaf_hash) "
                f"SELECT {_IDS[dialect]}, 1, 1, 1000000000 + n, 'given', 'import', false, "
                f"{_MOMENTS[dialect]}, {_HASHES[dialect]}, {_HASHES[dialect]} FROM {series}"
            )
        )
        waits = (
            "INSERT INTO consent_pending (event) SELECT id FROM consent_event WHERE id > :newest"
        )
        session.execute(text(waits), {"newest": newest})


def _add_witness(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        add_reader(
            session, session.scalars(select(Newsletter)).one(), parse_address(_WITNESS),
            purposes=["updates"], details=ReaderDetails(), attributes={},
            evidence=Evidence(Method.IMPORT, source="paper"), renderer=parts.renderer,
            confirm=False, suppression_key=parts.suppression_key, now=parts.now(),
        )  # fmt: skip


def _prove(parts: Parts) -> float:
    """Prove what the reader in the middle said; return the milliseconds."""
    asked = Asked(_WITNESS, None, parts.suppression_key, "bench")
    began = time.perf_counter()
    document = prove(parts.sessions, parts.notary, asked, now=parts.now())
    took = (time.perf_counter() - began) * 1e3
    verify_proof(json.dumps(document).encode())
    return took


@contextmanager
def _signups_beside(settings: Settings) -> Iterator[list[float]]:
    """Let another process sign readers up meanwhile; how long each took is there afterwards."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_sign_up_and_up, args=(settings, theirs), daemon=True)
    process.start()
    theirs.close()  # so that its death ends our waiting
    ours.recv()  # it is ready
    took: list[float] = []
    try:
        yield took
    finally:
        ours.send("enough")
        took += ours.recv()
        process.join()


def _sign_up_and_up(settings: Settings, told: Connection) -> None:
    parts = open_parts(settings)
    _sign_up(parts)  # the first one compiles the confirmation
    told.send("ready")
    took = []
    while not told.poll(_BETWEEN_SIGNUPS):
        took.append(_sign_up(parts))
    told.send(took)


def _sign_up(parts: Parts) -> float:
    address = parse_address(f"signup-{secrets.token_hex(8)}@readers.example")
    began = time.perf_counter()
    with parts.sessions.begin() as session:
        request_signup(
            session,
            Signup(
                newsletter=session.scalars(select(Newsletter)).one(),
                address=address,
                purposes=("updates",),
                evidence=Evidence(Method.FORM, ip="192.0.2.7"),
                notice_sha256=None,
            ),
            renderer=parts.renderer,
            suppression_key=parts.suppression_key,
            now=parts.now(),
        )
    return (time.perf_counter() - began) * 1e3


def _print(rows: list[dict[str, Any]]) -> None:
    columns = [name for name in rows[0] if name != "database"]
    print("{:<20}".format("") + "".join(f"{row['database']:>14}" for row in rows))
    for name in columns:
        values = "".join(f"{row[name]:>14,}" for row in rows)
        print(f"{name.replace('_', ' '):<20}{values}")


if __name__ == "__main__":
    main()
