"""SIGTERM to a worker in the middle of a campaign: nothing uncertain, nothing lost, a quick end."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import building as b
import pytest
import servers
from crash.accounts import account, environment_of, relay_at
from crash.course import text_of
from processes import WITHIN, clean_environment, running, until
from sink import accepted_by, running_sink

from mailer.wiring import Parts

PAUSE = 0.2  # seconds until the relay answers a dot: so bodies are on their way when we stop
ENDS_WITHIN = 30.0  # 2 s alone; a machine that is busy gets more, and what hangs takes 50

STOPS = [
    pytest.param(1, 2, 300),
    *(pytest.param(seed, 5, 400, marks=pytest.mark.long) for seed in (2, 3)),
]


@pytest.mark.parametrize(("seed", "stops", "readers"), STOPS)
def test_a_worker_that_is_asked_to_stop_finishes_its_bodies_and_gives_the_rest_back(
    parts: Parts,
    tmp_path: Path,
    figures: Callable[[dict[str, int]], None],
    seed: int,
    stops: int,
    readers: int,
) -> None:
    dice = random.Random(seed)
    campaign_id = b.sending_campaign(parts, readers)
    file, log, valkey_home = tmp_path / "accepted", tmp_path / "log", tmp_path / "valkey"
    valkey_home.mkdir()
    with (
        servers.valkey_server(valkey_home) as redis_url,
        running_sink(file, pause=PAUSE) as port,
    ):
        environment = clean_environment(
            **environment_of(
                parts, MAILER_REDIS_URL=redis_url, MAILER_SMTP_URL=relay_at(port, connections=10)
            )
        )
        for _ in range(stops):
            goal = len(accepted_by(file)) + 10
            with running(["worker", "--queue", "send"], environment, log) as worker:
                until(lambda goal=goal: len(accepted_by(file)) > goal, "mails", every=0.01)
                time.sleep(dice.random() * 2 * PAUSE)
                worker.send_signal(signal.SIGTERM)
                began = time.monotonic()
                assert worker.wait(WITHIN) == 0, text_of(log)
                assert time.monotonic() - began < ENDS_WITHIN, text_of(log)
            states = b.states(parts, campaign_id)
            assert set(states.values()) == {"sent", "queued"}
            sent = {address for address, state in states.items() if state == "sent"}
            assert sent == set(accepted_by(file))
        with running(["worker", "--queue", "send"], environment, log):
            until(lambda: len(accepted_by(file)) == readers, "the rest, by another worker")
    result = account(parts, campaign_id, file)
    figures(result.figures(stops=stops + 1))
    result.check(exposed=0)
    assert result.uncertain == set()
