"""How long a full audit takes, and how much memory; prints JSON.

    python -m bench.audit --events 1000000 --database both

Every event is a reader's own consent with a sealed evidence, every reader got one mail, and the
log has its tiles and a checkpoint: all of it as the service writes it, only faster.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, text

from bench import content
from bench.send import _databases
from mailer.domain.leaf_text import leaf_hash, quoted_notice
from mailer.domain.leaves import NoticeRef, commitment, commitment_key, instant
from mailer.services.audit import Audit
from mailer.services.consent.checkpoints import sign_checkpoint
from mailer.services.newsletters.newsletters import add_newsletter, add_purpose
from mailer.services.newsletters.notices import publish_notice
from mailer.settings import Settings
from mailer.store.consents import new_event_id
from mailer.store.models import (
    Campaign,
    Notice,
)
from mailer.store.vault import Vault
from mailer.wiring import Parts, open_parts, vault_of

_BATCH = 10_000
_SAID = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
_SENT = _SAID + timedelta(days=1)
_PERIOD = 202611
_MOMENT = "%Y-%m-%d %H:%M:%S.000"  # as SQLite holds it; PostgreSQL is told that it is UTC
_TABLES = (
    "subscriber", "consent_event", "consent_evidence", "consent_pending", "subscription",
    "delivery",
)  # fmt: skip


def main() -> None:
    """Build, audit, and print what it came to, for each database."""
    parser = argparse.ArgumentParser(prog="bench.audit", description=(__doc__ or "").split(";")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="sqlite")
    parser.add_argument("--postgresql", help="an empty database's URL; else one is started")
    parser.add_argument("--only-audit", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_audit:
        print(json.dumps(_audit(*json.loads(options.only_audit))))
        return
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mailer-bench-"))
        folder.chmod(0o755)  # a PostgreSQL of our own runs as another user
        stack.callback(shutil.rmtree, folder)
        for name, url in _databases(options, folder, stack):
            began = time.perf_counter()
            build(content.settings(folder / name, url, 1, 1), options.events)
            built = time.perf_counter() - began
            # In a process of its own, so that its memory is the audit's.
            told = subprocess.check_output(
                [sys.executable, "-m", "bench.audit", "--only-audit",
                 json.dumps([str(folder / name), url])],
                cwd=Path(__file__).parents[1], text=True,
            )  # fmt: skip
            document = {"database": name, "building_seconds": round(built, 1)}
            print(json.dumps({**document, **json.loads(told.splitlines()[-1])}), flush=True)


def _audit(home: str, url: str) -> dict[str, Any]:
    parts = open_parts(content.settings(Path(home), url, 1, 1))
    audit = Audit(parts.sessions, notary=parts.notary, home=parts.settings.home)
    began, cpu = time.perf_counter(), time.process_time()
    found = Counter(each.kind.value for each in audit.findings())
    seconds = time.perf_counter() - began
    return {
        "audit_seconds": round(seconds, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "looked": dict(audit.looked),
        "found": dict(found),
    }


def build(settings: Settings, events: int) -> Parts:
    """Make an installation in which so many readers have said yes and got a mail."""
    parts = open_parts(settings)
    vault = vault_of(settings)
    with parts.sessions.begin() as session:
        made = add_newsletter(
            session, slug="weekly", name="The Weekly", timezone="Africa/Lagos",
            sender="The Weekly <weekly@news.example.org>", postal_address="1 Road, Kassa",
            now=_SAID,
        )  # fmt: skip
        add_purpose(session, made, "updates", "Updates from the newsroom")
        notice = publish_notice(session, made, locale="en", text="We write to you.", now=_SAID)
        _add_campaign(session.connection())
    for first in range(1, events + 1, _BATCH):
        last = min(first + _BATCH - 1, events)
        with parts.engine.begin() as connection:
            for table, rows in _rows(vault, notice, range(first, last + 1)).items():
                _insert(connection, table, rows)
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    if parts.engine.dialect.name == "postgresql":
        with parts.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    return parts


def _insert(connection: Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Add the rows by the driver's own means: SQLAlchemy's would take longer than the audit."""
    driver: Any = connection.connection.driver_connection
    names = ", ".join(rows[0])
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(rows[0]))
        statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        driver.executemany(statement, [tuple(row.values()) for row in rows])
        return
    driver.execute("SET LOCAL TIME ZONE 'UTC'")
    with driver.cursor().copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(tuple(row.values()))


def _add_campaign(connection: Any) -> None:
    connection.execute(
        insert(Campaign).values(
            public_id="bench", newsletter_id=1, purpose_id=1, subject="News", preheader="",
            template="digest", content={}, lane=2, state="finished", paused_reason="",
            resume_state="", created_at=_SENT, period=_PERIOD, upper_subscriber_id=0,
            cursor_subscriber_id=0,
        )
    )  # fmt: skip


def _rows(vault: Vault, notice: Notice, numbers: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in _TABLES}
    for number in numbers:
        for table, values in _one(vault, notice, number):
            rows[table].append(values)
    return rows


def _one(vault: Vault, notice: Notice, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    said, sent, settled = (
        each.strftime(_MOMENT) for each in (_SAID, _SENT, _SENT + timedelta(minutes=3))
    )
    key, sealed_key = vault.new_key()
    event_id, address = new_event_id(_SAID), f"reader{number}@readers.example"
    personal = {
        "address": address, "ip": "192.0.2.7", "page_url": "https://news.example.org/n/weekly",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "source": "", "confirmation_message_id": "",
    }  # fmt: skip
    committed = commitment(commitment_key(key, event_id), personal)
    shown = quoted_notice(NoticeRef(notice.sha256, notice.version, notice.locale, False))
    yield "subscriber", {
        "id": number, "email": address, "address_hash": f"hash{number}",
        "provider": "readers.example", "name": "", "locale": "", "timezone": "",
        "attributes": "{}", "created_at": said, "sealed_key": sealed_key,
    }  # fmt: skip
    yield "consent_event", {
        "id": number, "event_id": event_id, "newsletter_id": 1, "purpose_id": 1,
        "subscriber_id": number, "state": "given", "method": "confirm", "basis": "consent",
        "notice_id": notice.id, "notice_assumed": False, "at": said, "commitment": committed,
        "leaf_hash": leaf_hash(
            event_id, instant(_SAID), "weekly", "updates", number, "given", "confirm", "consent",
            shown, committed, None, None,
        ),
    }  # fmt: skip
    sealed = vault.seal(key, event_id, personal)
    yield "consent_evidence", {"event": number, "sealed": sealed}
    yield "consent_pending", {"event": number}
    yield "subscription", {
        "subscriber_id": number, "purpose_id": 1, "newsletter_id": 1, "state": "active",
        "since": said, "request": 0,
    }  # fmt: skip
    yield "delivery", {
        "id": number, "period": _PERIOD, "campaign_id": 1, "subscriber_id": number,
        "newsletter_id": 1, "next_at": sent, "created_at": sent, "expires_at": sent,
        "settled_at": settled, "fence": 1, "attempts": 1, "lane": 2,
        "kind": "campaign", "state": "sent", "provider": "readers.example",
    }  # fmt: skip


if __name__ == "__main__":
    main()
