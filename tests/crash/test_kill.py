"""kill -9 in the middle of a campaign, again and again; the relay's own file is the truth."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import building as b
import pytest
from crash.accounts import Account, account, environment_of, listed_as_uncertain, relay_at
from crash.course import open_deliveries, sender_process, text_of
from crash.steps import DIED, REPLY
from sink import accepted_by, running_sink

from mailer.wiring import Parts

CONNECTIONS = 5
CRASHES = 5
WITHIN = 150.0
READERS = 300
"""Of the campaigns that the wrong senders get."""

CAMPAIGNS = [
    pytest.param("sqlite", 7, 300),
    pytest.param("postgresql", 7, 300),
    *(
        pytest.param(("sqlite", "postgresql")[seed % 2], seed, 600, marks=pytest.mark.long)
        for seed in range(100, 120)
    ),
]


def _play(parts: Parts, tmp_path: Path, seed: int, readers: int) -> None:
    """Send to everybody through a troubled relay, killing the sender now and then."""
    dice = random.Random(seed)
    file, log = tmp_path / "accepted", tmp_path / "log"
    with running_sink(file, seed=seed, trouble=0.04) as port:
        environment = environment_of(parts, MAILER_SMTP_URL=relay_at(port, CONNECTIONS))
        deadline = time.monotonic() + WITHIN
        for crash in range(CRASHES + 1):
            goal = crash * readers / (CRASHES + 1)
            with sender_process(environment, log) as sender:
                while crash < CRASHES and sum(accepted_by(file).values()) <= goal:
                    assert sender.poll() is None, text_of(log)
                    assert time.monotonic() < deadline, text_of(log)
                    time.sleep(0.02)
                while crash == CRASHES and open_deliveries(parts):
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


def _account_of(parts: Parts, tmp_path: Path, *, wrong: str) -> Account:
    """Let a wrong sender die when the relay has said its 20th 250; another one sends the rest.

    Where it dies is told and not left to chance, and the relay makes no trouble: whatever is found
    is the sender's own.
    """
    campaign_id = b.sending_campaign(parts, READERS)
    file, log = tmp_path / "accepted", tmp_path / "log"
    with running_sink(file) as port:
        environment = environment_of(parts, MAILER_SMTP_URL=relay_at(port, CONNECTIONS))
        with sender_process(environment, log, wrong=wrong, dies_at=REPLY, time=20) as sender:
            assert sender.wait(timeout=WITHIN) == DIED, text_of(log)
        with sender_process(environment, log, wrong=wrong, ends=1) as sender:
            assert sender.wait(timeout=WITHIN) == 0, text_of(log)
    return account(parts, campaign_id, file)


@pytest.mark.long
def test_the_account_finds_a_sender_that_records_after_sending(
    sqlite_parts: Parts, tmp_path: Path
) -> None:
    result = _account_of(sqlite_parts, tmp_path, wrong="records after sending")
    assert result.twice
    assert not result.missing


@pytest.mark.long
def test_the_account_finds_a_sender_that_records_at_fetch(
    sqlite_parts: Parts, tmp_path: Path
) -> None:
    result = _account_of(sqlite_parts, tmp_path, wrong="records at fetch")
    assert result.missing
    assert not result.twice
