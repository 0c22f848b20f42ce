"""A worker is frozen over its lease and grace, and goes on when another has done its work."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import building as b
import pytest
from crash.accounts import account, environment_of, relay_at
from crash.course import open_deliveries, sender_process, text_of
from processes import WITHIN, until
from sink import accepted_by, noted, running_sink
from sqlalchemy import text

from mailer.domain.relays import RelayConfig, Security
from mailer.services.delivery.ledger_desk import LedgerDesk, Told
from mailer.services.delivery.sending import Access, Pace
from mailer.store.ledger import Gated
from mailer.transports.smtp import SmtpTransport
from mailer.wiring import Parts

READERS = 40
CONNECTIONS = 5
PAUSE = 0.4  # seconds until the relay answers a dot, so that answers wait for the frozen one
LEASES = {"connections": CONNECTIONS, "lease": 3, "grace": 1}
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_frozen_over_its_lease_sends_nothing_twice_and_still_tells_what_it_learnt(
    parts: Parts,
    tmp_path: Path,
    figures: Callable[[dict[str, int]], None],
    seed: int,
) -> None:
    campaign_id = b.sending_campaign(parts, READERS)
    file, log, log_of_other = tmp_path / "accepted", tmp_path / "log", tmp_path / "other"
    with running_sink(file, pause=PAUSE) as port:
        environment = environment_of(parts, MAILER_SMTP_URL=relay_at(port, CONNECTIONS))
        with sender_process(environment, log, **LEASES) as frozen:
            until(lambda: len(accepted_by(file)) > READERS / 5, "the first mails", every=0.01)
            time.sleep(random.Random(seed).random() * PAUSE)
            _freeze(frozen, parts, file)
            with sender_process(environment, log_of_other, **LEASES):
                until(lambda: not open_deliveries(parts), "another to do the rest")
            doubtful = account(parts, campaign_id, file).uncertain
            assert 0 < len(doubtful) <= CONNECTIONS, text_of(log_of_other)

            continued = time.monotonic()
            frozen.send_signal(signal.SIGCONT)
            # What it had leased has waited too long: it gives that up, under fences that are gone.
            until(
                lambda: not account(parts, campaign_id, file).uncertain & set(accepted_by(file)),
                "the frozen one to tell which answers it found",
            )
            until(lambda: not open_deliveries(parts), "what it had surely not sent to go again")
    result = account(parts, campaign_id, file)
    figures(result.figures(freezes=1, learnt=len(doubtful - result.uncertain)))
    result.check(exposed=CONNECTIONS)
    assert doubtful - result.uncertain, "at least one answer had come while it was frozen"
    began = noted(file, "began")
    before = {each["to"] for each in began if each["at"] <= continued}
    after = {each["to"] for each in began if each["at"] > continued}
    assert after <= doubtful - before, "what it sends anew was never begun"


class HearsLate(LedgerDesk):
    """The process is frozen when the gate is open, and before it knows."""

    async def visit(self, *settlements: Any, **more: Any) -> Told:
        """Visit, and hear the answer late."""
        told = await super().visit(*settlements, **more)
        if told.gated is Gated.OPEN:
            time.sleep(0.3)
        return told


def test_an_answer_of_the_gate_that_is_heard_too_late_opens_nothing(
    sqlite_parts: Parts, tmp_path: Path
) -> None:
    b.sending_campaign(sqlite_parts, 2)
    file = tmp_path / "accepted"
    with running_sink(file) as port:
        config = RelayConfig("127.0.0.1", port, Security.NONE, connections=1)
        sender = b.sender_of(
            sqlite_parts,
            lambda _: Access(SmtpTransport(config, hello="test"), config),
            desk=HearsLate,
            pace=Pace(gate_to_body=timedelta(seconds=0.2)),
        )
        sender.start()
        try:
            assert sender.idle.wait(WITHIN)
        finally:
            sender.stop()
    assert noted(file, "began") == []
    assert set(b.states(sqlite_parts).values()) == {"queued"}


def _freeze(worker: subprocess.Popen[bytes], parts: Parts, file: Path) -> None:
    """Freeze the worker while the relay has a mail of which it has told the ledger nothing yet.

    And outside of any transaction: what it holds there, it holds from everybody. (On SQLite that
    is every writer, and no design of ours can change it.)
    """
    for _ in range(50):
        worker.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED)
        if _nobody_writes(parts) and _untold(parts) & set(accepted_by(file)):
            return
        worker.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    raise AssertionError("the worker is always in a transaction, or has no mail on its way")


def _untold(parts: Parts) -> set[str]:
    return {address for address, state in b.states(parts).items() if state == "sending"}


def _nobody_writes(parts: Parts) -> bool:
    if parts.engine.dialect.name == "sqlite":
        with sqlite3.connect(str(parts.engine.url.database), timeout=0.2) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            finally:
                connection.rollback()
        connection.close()
        return True
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND state LIKE '%transaction%'"
    )
    with parts.engine.connect() as connection:
        return connection.scalar(others) == 0
