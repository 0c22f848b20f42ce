"""The sender beside Postfix's smtp-source (C) and beside the plain recipe; prints a table and JSON.

    python -m bench.send --messages 20000 --rounds 3

Every round sends the same number of mails of the same size to the same smtp-sink: smtp-source with
kept-open connections, then our sender with its full ledger on each database, then smtp-source
again; a round's ratio is against the mean of its neighbours. The figure that counts is the median.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bench import content, plain
from bench.running import CannotMeasure, finish, send_all, two_workers, verify
from mailer.embedded.leash import leashed
from mailer.rendering import ReaderValues
from mailer.store.models import Campaign, Newsletter
from mailer.wiring import Parts

_POSTFIX = Path("/usr/sbin")


@dataclass(frozen=True)
class Runner:
    """One way to send: on which installation, with how many workers and what settings."""

    name: str
    parts: Parts
    workers: int = 1
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Measured:
    """What the runs of one sender came to."""

    name: str
    per_second: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)  # × smtp-source, in the same round
    cpu_us: list[float] = field(default_factory=list)  # of the sender process, per message
    peak_mib: list[float] = field(default_factory=list)
    plan_seconds: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return the medians."""
        found: dict[str, Any] = {"name": self.name}
        for key, values in asdict(self).items():
            if key != "name" and values:
                found[key] = statistics.median(values)
        return found


def main(arguments: list[str] | None = None, *, quiet: bool = False) -> dict[str, Any]:
    """Measure, print the table unless `quiet`, and return the document."""
    options = _options(arguments)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mailer-bench-"))
        folder.chmod(0o755)  # a PostgreSQL of our own runs as another user
        stack.callback(shutil.rmtree, folder)
        port = stack.enter_context(_smtp_sink())
        installations = {
            name: content.install(
                content.settings(folder / name, url, port, options.connections), options.messages
            )
            for name, url in _databases(options, folder, stack)
        }
        for parts in installations.values():
            stack.callback(parts.engine.dispose)
        compiled = _message(next(iter(installations.values())))
        document = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python "
            f"{platform.python_version()}, {platform.system()} {platform.release()}",
            "messages": options.messages,
            "bytes": len(compiled[0]),
            "connections": options.connections,
        }
        rows = _rounds(options, _runners(options, installations, folder), port, len(compiled[0]))
        document["senders"] = [row.summary() for row in rows]
        if not options.alone:
            document["plain"] = _plain(installations, compiled[1], folder, port)
            document["verified"] = {
                name: verify(parts, options.connections) for name, parts in installations.items()
            }
        if options.scale:
            document["scale"] = {
                name: two_workers(parts, options.connections)
                for name, parts in installations.items()
            }
    if not quiet:
        _print(document)
    if options.json:
        Path(options.json).write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return document


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.send", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="sqlite")
    parser.add_argument("--postgresql", help="an empty database's URL; else one is started")
    parser.add_argument(
        "--alone", action="store_true", help="our sender alone, for long runs: a million, say"
    )
    parser.add_argument("--dkim", action="store_true", help="with RSA-2048 and two workers, too")
    parser.add_argument(
        "--scale", action="store_true", help="one worker and two, against a sink of 100 ms a mail"
    )
    parser.add_argument("--json", help="write the document to this file too")
    return parser.parse_args(arguments)


def _databases(
    options: argparse.Namespace, folder: Path, stack: ExitStack
) -> Iterator[tuple[str, str]]:
    if options.database in ("sqlite", "both"):
        yield "sqlite", f"sqlite:///{folder / 'mailer.db'}"
    if options.database in ("postgresql", "both"):
        yield "postgresql", options.postgresql or stack.enter_context(_own_postgresql())


@contextmanager
def _own_postgresql() -> Iterator[str]:
    """Start a durable PostgreSQL, as the tests start theirs (which need not be durable)."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    import psycopg
    import servers

    with servers.postgres_server(durable=True) as url:
        with psycopg.connect(url + "postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        yield url + "bench"


@contextmanager
def _smtp_sink() -> Iterator[int]:
    if not (_POSTFIX / "smtp-sink").exists():
        raise CannotMeasure(
            "smtp-sink and smtp-source are missing: install Postfix (Debian: apt install postfix)."
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    sink = subprocess.Popen(
        [str(_POSTFIX / "smtp-sink"), "-u", "nobody", f"127.0.0.1:{port}", "1000"],
        preexec_fn=leashed(signal.SIGTERM),
    )
    try:
        _await_port(port)
        yield port
    finally:
        sink.terminate()
        sink.wait()


def _runners(
    options: argparse.Namespace, installations: dict[str, Parts], folder: Path
) -> list[Runner]:
    runners = [Runner(f"mailer on {name}", parts) for name, parts in installations.items()]
    if options.dkim:
        signing = content.dkim_settings(folder)
        runners += [
            Runner(f"… {name}, RSA-2048, 2 workers", parts, 2, signing)
            for name, parts in installations.items()
        ]
    return runners


def _rounds(
    options: argparse.Namespace, runners: Sequence[Runner], port: int, size: int
) -> list[Measured]:
    source = Measured("smtp-source")
    ours = {runner.name: Measured(runner.name) for runner in runners}
    for number in range(options.rounds):
        before = 0.0 if options.alone else _smtp_source(options, port, size)
        source.per_second.append(before)
        for runner in runners:
            print(f"round {number + 1} of {options.rounds}: {runner.name} …", file=sys.stderr)
            row = ours[runner.name]
            began = time.perf_counter()
            campaign_id = content.start(runner.parts)
            row.plan_seconds.append(time.perf_counter() - began)
            cost = send_all(runner.parts, workers=runner.workers, more=runner.more)
            finish(runner.parts, campaign_id)
            rate = options.messages / cost.seconds
            row.per_second.append(rate)
            if not options.alone:
                after = _smtp_source(options, port, size)
                source.per_second.append(after)
                row.ratios.append(rate / statistics.mean((before, after)))
                before = after
            row.cpu_us.append(cost.cpu_seconds / options.messages * 1e6)
            row.peak_mib.append(cost.peak_mib)
    return [*ours.values()] if options.alone else [source, *ours.values()]


def _smtp_source(options: argparse.Namespace, port: int, size: int) -> float:
    """Return messages/s of smtp-source with as many kept-open connections (`-d`)."""
    command = [
        str(_POSTFIX / "smtp-source"), "-d", "-s", str(options.connections), "-m",
        str(options.messages), "-l", str(size), "-f", "weekly@news.example.org",
        "-t", "reader@readers.example", f"127.0.0.1:{port}",
    ]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return float(options.messages / (time.perf_counter() - began))


def _message(parts: Parts) -> tuple[bytes, str]:
    """Return one mail as it goes out, and its HTML."""
    with parts.sessions() as session:
        campaign = session.get_one(Campaign, content.start(parts))
        compiled = parts.renderer.sent_message(session, campaign)
        campaign_id = campaign.id
        values = _values(parts, campaign.newsletter)
    with parts.sessions.begin() as session:
        session.get_one(Campaign, campaign_id).state = "cancelled"
    return compiled.personalise(values), plain.html_of(compiled, values)


def _values(parts: Parts, newsletter: Newsletter) -> ReaderValues:
    values = parts.renderer.sample_values(
        email="reader@readers.example", newsletter=newsletter, now=parts.now()
    )
    return values._replace(name="Reader")


def _plain(installations: dict[str, Parts], html: str, folder: Path, port: int) -> dict[str, float]:
    parts = next(iter(installations.values()))
    with parts.sessions() as session:
        values = _values(parts, session.scalars(select(Newsletter)).one())
    return {"per_second": 1 / plain.seconds_per_message(html, folder, port, values)}


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _print(document: dict[str, Any]) -> None:
    recipe = document.get("plain", {}).get("per_second")
    print(
        f"{document['messages']:,} mails of {document['bytes']:,} bytes over "
        f"{document['connections']} connections, {document['machine']}, {document['date']}\n"
    )
    columns = "{:<34} {:>11} {:>14} {:>15} {:>13} {:>9}"
    print(columns.format("", "messages/s", "× smtp-source", "× plain recipe", "CPU µs/mail", "MiB"))
    for row in document["senders"]:
        print(
            columns.format(
                row["name"],
                f"{row['per_second']:,.0f}",
                f"{row['ratios']:.2f}" if "ratios" in row else "–",
                f"{row['per_second'] / recipe:,.0f}" if recipe else "–",
                f"{row['cpu_us']:.0f}" if "cpu_us" in row else "–",
                f"{row['peak_mib']:.0f}" if "peak_mib" in row else "–",
            )
        )
    if recipe:
        print(columns.format("plain recipe", f"{recipe:,.1f}", "–", "1", "–", "–"))
    for row in document["senders"]:
        if "plan_seconds" in row:
            print(f"planned for {row['name']}: in {row['plan_seconds']:.1f} s")
    for name, words in document.get("verified", {}).items():
        print(f"verified on {name}: {words}")
    for name, factor in document.get("scale", {}).items():
        print(f"two workers on {name}, a sink of 100 ms a mail: {factor:.2f} × one worker")


if __name__ == "__main__":
    main()
