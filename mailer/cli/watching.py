"""Following a campaign to its end, and saying so when nobody works on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mailer.cli.console import progress, say
from mailer.domain.campaigns import CampaignState
from mailer.services.alive import alive_workers
from mailer.services.lookup import find_campaign
from mailer.services.reports import report
from mailer.store.engine import reading

if TYPE_CHECKING:
    from mailer.wiring import Parts

_ENDS = {
    CampaignState.FINISHED.value,
    CampaignState.CANCELLED.value,
    CampaignState.EXPIRED.value,
    CampaignState.PAUSED.value,
}
_POLL_SECONDS = 0.3


def say_if_nobody_works(parts: Parts) -> None:
    """Name the command that starts workers where none is alive."""
    with reading(parts.sessions) as session:
        alive = alive_workers(session, now=parts.now())
    if not alive:
        say(
            "No worker is alive, so nothing is sent yet: start one with "
            "`mailer worker --queue all`, or everything with `mailer up`."
        )


def follow(parts: Parts, campaign_id: int) -> dict[str, Any]:
    """Show the campaign's progress until it ends or pauses; return its report."""
    with progress("sending") as advance:
        while True:
            with reading(parts.sessions) as session:
                now = report(session, find_campaign(session, str(campaign_id)))
            still_open = sum(now["counts"][state] for state in ("queued", "leased", "sending"))
            total = sum(now["counts"].values())
            advance(total - still_open, total)
            if now["state"] in _ENDS:
                return now
            time.sleep(_POLL_SECONDS)
