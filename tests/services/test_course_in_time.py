"""Orders reach a sender that is at work: within two seconds, and nothing is lost on the way.

The relay answers every mail slowly, so that the campaign is in the middle all the time; its file
says when each content began, by a clock that both processes share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import building as b
import pytest
from processes import until
from sink import accepted_by, noted, running_sink
from sqlalchemy.orm import Session

from mailer.domain.relays import RelayConfig, Security
from mailer.services.campaigns.course import (
    cancel_campaign,
    finish_done,
    pause_campaign,
    resume_campaign,
)
from mailer.services.delivery.sending import Access, Pace, Sender
from mailer.store.models import Campaign
from mailer.transports.smtp import SmtpTransport
from mailer.wiring import Parts

READERS = 120
PACE = Pace(look_again=timedelta(seconds=1))
ANSWER_TAKES = 0.1  # two connections: twenty mails a second, six seconds for all
WITHIN = 2.0
LONGER = WITHIN + 1.5  # and still in the middle, if the order were not heard


@dataclass
class AtWork:
    """A campaign that is being sent, and the relay's file."""

    parts: Parts
    file: Path
    campaign_id: int
    sender: Sender

    def order(self, order: Callable[[Session, Campaign], object]) -> float:
        """Give an order as a command does; return when it was committed."""
        with self.parts.sessions.begin() as session:
            order(session, session.get_one(Campaign, self.campaign_id))
        return time.monotonic()

    def began(self) -> list[float]:
        """Return when each content began."""
        return [entry["at"] for entry in noted(self.file, "began")]

    def states(self) -> list[str]:
        """Return the state of every delivery."""
        return list(b.states(self.parts).values())


@pytest.fixture
def at_work(parts: Parts, tmp_path: Path) -> Iterator[AtWork]:
    """A sender in the middle of a campaign."""
    campaign_id = b.sending_campaign(parts, READERS)
    file = tmp_path / "accepted"
    with running_sink(file, pause=ANSWER_TAKES) as port, _sending(parts, port) as sender:
        work = AtWork(parts, file, campaign_id, sender)
        until(lambda: len(work.began()) > 5, "the first mails")
        yield work


@contextmanager
def _sending(parts: Parts, port: int) -> Iterator[Sender]:
    relay = RelayConfig("127.0.0.1", port, Security.NONE, connections=2)
    access = Access(SmtpTransport(relay, hello="test"), relay)
    sender = b.sender_of(parts, lambda _: access, pace=PACE)
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()


def test_a_pause_acts_within_two_seconds_and_loses_nothing(at_work: AtWork) -> None:
    paused = at_work.order(lambda session, campaign: pause_campaign(session, campaign))
    time.sleep(LONGER)
    until(lambda: set(at_work.states()) == {"sent", "queued"}, "rest")
    assert max(at_work.began()) < paused + WITHIN
    states = at_work.states()
    assert states.count("sent") == sum(accepted_by(at_work.file).values())
    assert len(states) == READERS


def test_a_resumed_campaign_goes_on_within_two_seconds_and_reaches_everybody_once(
    at_work: AtWork,
) -> None:
    at_work.order(lambda session, campaign: pause_campaign(session, campaign))
    until(lambda: set(at_work.states()) == {"sent", "queued"}, "rest")
    before = len(at_work.began())
    resumed = at_work.order(
        lambda session, campaign: resume_campaign(session, campaign, now=at_work.parts.now())
    )
    until(lambda: len(at_work.began()) > before, "the next content")
    assert at_work.began()[before] < resumed + WITHIN
    until(lambda: set(at_work.states()) == {"sent"}, "the campaign's end")
    accepted = accepted_by(at_work.file)
    assert len(accepted) == READERS
    assert set(accepted.values()) == {1}
    with at_work.parts.sessions.begin() as session:
        assert finish_done(session, now=at_work.parts.now()) == 1


def test_a_cancelled_campaign_ends_within_two_seconds(at_work: AtWork) -> None:
    cancelled = at_work.order(
        lambda session, campaign: cancel_campaign(session, campaign, now=at_work.parts.now())
    )
    time.sleep(LONGER)
    until(lambda: set(at_work.states()) == {"sent", "cancelled"}, "rest")
    assert max(at_work.began()) < cancelled + WITHIN
    states = at_work.states()
    assert states.count("sent") == sum(accepted_by(at_work.file).values())
    assert b.campaign_state(at_work.parts, at_work.campaign_id) == "cancelled"
