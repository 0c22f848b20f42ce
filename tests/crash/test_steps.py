"""docs/crash-table.md, walked: a process dies at each step, and at each pair of steps.

With one connection the walk is exact: the table says what every row looks like after the crash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import building as b
import pytest
from crash.accounts import account, environment_of, relay_at
from crash.course import leases_run_out
from crash.nursery import Nursery
from crash.steps import CLAIM, CONTENT, DIED, DOT, GATE, OFFER, REPLY, SETTLED, STEPS
from processes import until
from sink import accepted_by, running_sink

from mailer.wiring import Parts

READERS = 12
QUICK = {"lease": 60, "grace": 0.1, "rest": 0.05}  # no lease runs out before it is told to
ONCE = (CLAIM, OFFER)  # a batch, and the first envelope of a connection; all else comes again

# The step at which the second delivery is (the first, where there is no second) → what the rows
# say, what the relay has accepted, and how many are uncertain in the end.
TABLE: dict[int, tuple[dict[str, int], int, int]] = {
    CLAIM: ({"leased": 12}, 0, 0),
    OFFER: ({"leased": 12}, 0, 0),
    GATE: ({"sent": 1, "sending": 1, "leased": 10}, 1, 1),
    CONTENT: ({"sent": 1, "sending": 1, "leased": 10}, 1, 1),
    DOT: ({"sent": 1, "sending": 1, "leased": 10}, 2, 1),
    REPLY: ({"sent": 1, "sending": 1, "leased": 10}, 2, 1),
    # settled together with the gate of the third
    SETTLED: ({"sent": 2, "sending": 1, "leased": 9}, 2, 1),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_leaves_what_the_table_says_and_the_next_process_puts_it_right(
    parts: Parts,
    tmp_path: Path,
    nursery: Nursery,
    figures: Callable[[dict[str, int]], None],
    step: int,
) -> None:
    says, accepted, uncertain = TABLE[step]
    campaign_id = b.sending_campaign(parts, READERS)
    file, log = tmp_path / "accepted", tmp_path / "log"
    with running_sink(file) as port:
        environment = environment_of(parts, MAILER_SMTP_URL=relay_at(port))
        order = {**QUICK, "connections": 1}
        died = nursery.run(environment, log, **order, dies_at=step, time=1 + (step not in ONCE))
        assert died == DIED, log.read_text()
        assert Counter(b.states(parts, campaign_id).values()) == says
        until(lambda: sum(accepted_by(file).values()) >= accepted, "the relay to have read it all")
        assert sum(accepted_by(file).values()) == accepted
        leases_run_out(parts)
        assert nursery.run(environment, log, **order, ends=True) == 0, log.read_text()
    result = account(parts, campaign_id, file)
    result.check(exposed=1)
    assert len(result.uncertain) == uncertain
    figures(result.figures(crashes=1, bound=1))


PAIRS = [
    pytest.param(
        database, first, second,
        marks=[] if database == "sqlite" and (first + 2 * second) % 3 == 0 else pytest.mark.long,
    )
    for database in ("sqlite", "postgresql")
    for first in STEPS
    for second in STEPS
]  # fmt: skip


@pytest.mark.parametrize(("database_url", "first", "second"), PAIRS, indirect=["database_url"])
def test_two_crashes_in_a_row_send_nothing_twice_and_forget_nobody(
    parts: Parts,
    tmp_path: Path,
    nursery: Nursery,
    figures: Callable[[dict[str, int]], None],
    first: int,
    second: int,
) -> None:
    connections = 3
    campaign_id = b.sending_campaign(parts, READERS)
    file, log = tmp_path / "accepted", tmp_path / "log"
    with running_sink(file) as port:
        environment = environment_of(parts, MAILER_SMTP_URL=relay_at(port))
        order = {**QUICK, "connections": connections}
        for step in (first, second):
            time = 1 + (step is not CLAIM)
            died = nursery.run(environment, log, **order, dies_at=step, time=time)
            assert died == DIED, log.read_text()
            leases_run_out(parts)
        assert nursery.run(environment, log, **order, ends=True) == 0, log.read_text()
    result = account(parts, campaign_id, file)
    result.check(exposed=2 * connections)
    figures(result.figures(crashes=2, bound=2 * connections))
