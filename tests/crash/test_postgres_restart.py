"""PostgreSQL is stopped at once and started again in the middle of a campaign."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import building as b
import pytest
from conftest import opened, settings_for, sqlalchemy_url
from crash.accounts import account, environment_of, listed_as_uncertain, relay_at
from crash.course import open_deliveries, sender_process, text_of
from processes import until
from servers import PostgresServer
from sink import accepted_by, running_sink

from mailer.wiring import Parts

CONNECTIONS = 5
RESTARTS = 3


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test's own, which may be stopped."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def own_parts(server: PostgresServer, tmp_path: Path) -> Iterator[Parts]:
    """An installation on it."""
    url = sqlalchemy_url(server.url + "postgres")
    yield from opened(settings_for(url, tmp_path / "home"))


CAMPAIGNS = [
    pytest.param(1, 300),
    *(pytest.param(seed, 600, marks=pytest.mark.long) for seed in range(200, 205)),
]


@pytest.mark.parametrize(("seed", "readers"), CAMPAIGNS)
def test_a_database_that_is_restarted_in_the_middle_costs_no_mail_and_no_doubt(
    server: PostgresServer,
    own_parts: Parts,
    tmp_path: Path,
    figures: Callable[[dict[str, int]], None],
    seed: int,
    readers: int,
) -> None:
    dice = random.Random(seed)
    campaign_id = b.sending_campaign(own_parts, readers)
    file, log = tmp_path / "accepted", tmp_path / "log"
    with running_sink(file, pause=0.01) as port:
        environment = environment_of(own_parts, MAILER_SMTP_URL=relay_at(port, CONNECTIONS))
        # A lease that outlives the restart, as 120 seconds do: what is past its gate is still ours.
        with sender_process(environment, log, lease=10, grace=20):
            for restart in range(RESTARTS):
                goal = readers * (restart + dice.random()) / (RESTARTS + 1)
                until(lambda goal=goal: _accepted(file) > goal, "some mails", every=0.01)
                server.stop(at_once=True)
                server.start()
            until(lambda: _settled(own_parts), text_of(log))
    result = account(own_parts, campaign_id, file)
    figures(result.figures(restarts=RESTARTS))
    result.check(exposed=0)
    assert listed_as_uncertain(own_parts, campaign_id) == result.uncertain == set()


def _accepted(file: Path) -> int:
    return sum(accepted_by(file).values())


def _settled(parts: Parts) -> bool:
    return open_deliveries(parts) == 0
