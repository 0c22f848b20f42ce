"""The ledger keeps its promises in whatever order things happen (Hypothesis, on SQLite)."""

from __future__ import annotations

from pathlib import Path

import building as b
import pytest
from crash.ledger_machine import LedgerMachine
from crash.ledger_world import GRACE, LONG_AGO, READERS
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import rule, run_state_machine_as_test
from sqlalchemy import update

from mailer.store.models import delivery
from mailer.wiring import Parts

ORDINARY = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
THOROUGH = settings(
    ORDINARY, max_examples=500, stateful_step_count=60, derandomize=False, print_blob=True
)


@pytest.fixture
def template(sqlite_parts: Parts) -> Path:
    """A database with a campaign that is ready to send."""
    b.sending_campaign(sqlite_parts, READERS)
    sqlite_parts.engine.dispose()  # so that everything stands in the one file
    return Path(str(sqlite_parts.engine.url.database))


@pytest.mark.parametrize("thoroughness", [ORDINARY, pytest.param(THOROUGH, marks=pytest.mark.long)])
def test_the_rows_never_contradict_the_relay(template: Path, thoroughness: settings) -> None:
    machine = type("Machine", (LedgerMachine,), {"template": template})
    run_state_machine_as_test(machine, settings=thoroughness)


class TriesAgain(LedgerMachine):
    """A wrong ledger: what was abandoned past its gate is simply tried again."""

    @rule()
    def recover(self) -> None:
        abandoned = (
            delivery.c.state == "sending",
            delivery.c.lease_until < self.parts.now() - GRACE,
        )
        again = {"state": "queued", "next_at": self.parts.now() - LONG_AGO}
        with self.transaction() as session:
            session.execute(update(delivery).where(*abandoned).values(again))


def _abandon_what_the_relay_has(machine: type[LedgerMachine], template: Path) -> None:
    """Let a worker vanish when the relay has its mail, and what it left be recovered."""
    world = type("World", (machine,), {"template": template})()
    try:
        world.work(number=0, fate="takes it and goes", steps=2)
        world.a_lease_runs_out(number=0, taken_over=False)
        world.the_rows_keep_their_promises()
        world.recover()
        world.the_rows_keep_their_promises()
    finally:
        world.teardown()


def test_the_machine_finds_a_ledger_that_tries_again_what_was_abandoned(template: Path) -> None:
    _abandon_what_the_relay_has(LedgerMachine, template)
    with pytest.raises(AssertionError, match="queued, and the relay has it"):
        _abandon_what_the_relay_has(TriesAgain, template)


@pytest.mark.long
def test_the_machine_finds_it_at_random_too(template: Path) -> None:
    """One search in 130 finds it, so that 2,000 do not miss it in a lifetime."""
    machine = type("Machine", (TriesAgain,), {"template": template})
    only_find = settings(THOROUGH, phases=[Phase.generate], max_examples=2_000)
    with pytest.raises(AssertionError, match="the relay has it"):
        run_state_machine_as_test(machine, settings=only_find)
