"""kill -9 in the middle of a campaign, again and again; the relay's own file is the truth."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import building as b
import pytest
from crash.accounts import account, environment_of, listed_as_uncertain, relay_at
from crash.course import open_deliveries, sender_process, text_of
from sink import accepted_by, running_sink

from mailer.wiring import Parts

CONNECTIONS = 5
CRASHES = 5
WITHIN = 150.0

CAMPAIGNS = [
    pytest.param("sqlite", 7, 300),
    pytest.param("postgresql", 7, 300),
    *(
        pytest.param(("sqlite", "postgresql")[seed % 2], seed, 600, marks=pytest.mark.long)
        for seed in range(100, 120)
    ),
]


def _play(parts: Parts, tmp_path: Path, seed: int, readers: int, *, wrong: str = "") -> None:
    """Send to everybody, killing the sender now and then.

    A wrong sender may forget readers and yet leave nothing open, so that it ends after its last
    crash; and the relay makes it no trouble, so that whatever is found is its own.
    """
    dice = random.Random(seed)
    file, log = tmp_path / "accepted", tmp_path / "log"
    with running_sink(file, seed=seed, trouble=0.0 if wrong else 0.04) as port:
        environment = environment_of(parts, MAILER_SMTP_URL=relay_at(port, CONNECTIONS))
        deadline = time.monotonic() + WITHIN
        for crash in range(CRASHES + 1):
            goal = crash * readers / (CRASHES + 1)
            with sender_process(environment, log, wrong=wrong) as sender:
                while crash < CRASHES and sum(accepted_by(file).values()) <= goal:
                    assert sender.poll() is None, text_of(log)
                    assert time.monotonic() < deadline, text_of(log)
                    if wrong and not open_deliveries(parts):
                        return
                    time.sleep(0.02)
                while crash == CRASHES and not wrong and open_deliveries(parts):
                    assert time.monotonic() < deadline, text_of(log)
                    time.sleep(0.1)
                time.sleep(dice.random() * 0.15)


@pytest.mark.parametrize(("database_url", "seed", "readers"), CAMPAIGNS, indirect=["database_url"])
def test_killed_again_and_again_nobody_gets_it_twice_and_nobody_is_forgotten(
    parts: Parts,
    tmp_path: Path,
    figures: Callable[[dict[str, int]], None],
    seed: int,
    readers: int,
) -> None:
    campaign_id = b.sending_campaign(parts, readers)
    _play(parts, tmp_path, seed, readers)
    result = account(parts, campaign_id, tmp_path / "accepted")
    exposed = CONNECTIONS * CRASHES
    figures(result.figures(crashes=CRASHES, bound=exposed + len(result.dropped)))
    result.check(exposed=exposed)
    assert listed_as_uncertain(parts, campaign_id) == result.uncertain


def test_the_account_finds_a_sender_that_records_after_sending(
    sqlite_parts: Parts, tmp_path: Path
) -> None:
    campaign_id = b.sending_campaign(sqlite_parts, 300)
    _play(sqlite_parts, tmp_path, 7, 300, wrong="records after sending")
    assert account(sqlite_parts, campaign_id, tmp_path / "accepted").twice


def test_the_account_finds_a_sender_that_records_at_fetch(
    sqlite_parts: Parts, tmp_path: Path
) -> None:
    campaign_id = b.sending_campaign(sqlite_parts, 300)
    _play(sqlite_parts, tmp_path, 7, 300, wrong="records at fetch")
    result = account(sqlite_parts, campaign_id, tmp_path / "accepted")
    assert result.missing
    assert not result.twice
