"""The tasks: a few lines each."""

from __future__ import annotations

from mailer.domain.errors import Refusal
from mailer.doorbell import DIGESTS, PREPARE, SEQUENCE, SWEEP, TICK, WAKE_SENDER
from workers import host
from workers.app import app
from workers.due import (
    ask_editors_once,
    prepare_one,
    read_feeds_once,
    retain_once,
    run_digests,
    sequence_once,
    sweep_once,
    tick_once,
)


@app.task(name=WAKE_SENDER)
def wake() -> None:
    """There may be mails to send."""
    host.wake_sender()


@app.task(name=TICK)
def tick() -> None:
    """Something may have come due."""
    parts = host.parts()
    due = tick_once(parts)
    for campaign_id in due.campaigns:
        parts.doorbell.ring_prepare(campaign_id)
    if due.digests or due.feeds:
        parts.doorbell.ring_digests()
    if ask_editors_once(parts):
        parts.doorbell.ring_send()


@app.task(name=DIGESTS)
def digests() -> None:
    """Digests are due, or feeds."""
    parts = host.parts()
    if run_digests(parts):
        parts.doorbell.ring_tick()
    if ask_editors_once(parts):
        parts.doorbell.ring_send()
    read_feeds_once(parts)


@app.task(name=SWEEP)
def sweep() -> None:
    """Something may have been left behind, or been kept for long enough."""
    sweep_once(host.parts())
    retain_once(host.parts())


@app.task(name=SEQUENCE)
def sequence() -> None:
    """Leaves may wait for their place in the consent log."""
    sequence_once(host.parts())


@app.task(name=PREPARE)
def prepare(campaign_id: int) -> None:
    """A campaign waits to be compiled and planned."""
    parts = host.parts()
    try:
        prepare_one(parts, campaign_id)
    except Refusal:
        return  # the campaign is paused and says why
    parts.doorbell.ring_send()
