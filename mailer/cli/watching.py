"""Following a campaign to its end, and saying so when nobody works on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mailer.cli.campaign_fields import canary_sentence
from mailer.cli.console import progress, say, shown
from mailer.domain.campaigns import CampaignState
from mailer.domain.canary import CanaryState
from mailer.domain.errors import Refusal
from mailer.services.campaigns.reports import report
from mailer.services.installation.alive import alive_workers
from mailer.services.newsletters.lookup import find_campaign
from mailer.services.operations.overview import failing_relays, overview, uncertain_deliveries
from mailer.store.engine import reading

if TYPE_CHECKING:
    from mailer.wiring import Parts

_ENDS = {
    CampaignState.FINISHED.value,
    CampaignState.CANCELLED.value,
    CampaignState.EXPIRED.value,
    CampaignState.PAUSED.value,
}
_HOLDS_BACK = {CanaryState.TRYING.value, CanaryState.WAITING.value}
_POLL_SECONDS = 0.3


class RelayFails(Refusal):
    """Mails wait because the relay does not take them."""


def refuse_failing_relay(parts: Parts) -> None:
    """Raise RelayFails where mails are left that wait for a relay."""
    with reading(parts.sessions) as session:
        found = overview(session, now=parts.now())
    waiting = sum(found["open_deliveries"].values())
    if waiting and found["failing_relays"]:
        raise RelayFails(f"{_relay_sentence(found['failing_relays'][0])} Mails waiting: {waiting}.")


def say_if_nobody_works(parts: Parts) -> None:
    """Name the command that starts workers where none is alive."""
    with reading(parts.sessions) as session:
        alive = alive_workers(session, now=parts.now())
    if not alive:
        say(
            "No worker is alive, so nothing is sent yet: start one with "
            "`mailer worker --queue all`, or everything with `mailer up`."
        )


def say_what_is_uncertain(parts: Parts) -> None:
    """Name the campaigns with deliveries that nobody knows the fate of."""
    with reading(parts.sessions) as session:
        found = uncertain_deliveries(session)
    for row in found:
        say(
            f"Campaign {row['campaign_id']}: whether {row['deliveries']} mails arrived is "
            f"uncertain, for the connection died after the last dot: {row['advice']}."
        )


def say_what_is_held(parts: Parts) -> None:
    """Name the campaigns that wait until their canary's sample is judged."""
    with reading(parts.sessions) as session:
        campaigns = overview(session, now=parts.now())["campaigns"]
    for row in campaigns:
        if row["canary"] and row["canary"]["state"] in _HOLDS_BACK:
            say(
                f"Campaign {row['campaign_id']} is held by its canary: "
                f"{canary_sentence(row['canary'])}. Run this again then."
            )


def follow(parts: Parts, campaign_id: int) -> dict[str, Any]:
    """Show the campaign's progress until it ends or pauses; return its report."""
    told = told_of_canary = ""
    with progress("sending") as advance:
        while True:
            with reading(parts.sessions) as session:
                now = report(session, find_campaign(session, str(campaign_id)))
                failing = failing_relays(session)
            if failing and failing[0]["reason"] != told:
                told = failing[0]["reason"]
                say(_relay_sentence(failing[0]))
            canary = canary_sentence(now["canary"])
            if canary != told_of_canary:
                told_of_canary = canary
                say(f"Canary: {canary}.")
            still_open = sum(now["counts"][state] for state in ("queued", "leased", "sending"))
            total = sum(now["counts"].values())
            advance(total - still_open, total)
            if now["state"] in _ENDS:
                say_what_is_uncertain(parts)
                return now
            time.sleep(_POLL_SECONDS)


def _relay_sentence(failing: dict[str, Any]) -> str:
    return (
        f"The relay {failing['relay']} fails ({failing['reason']}) and is left alone until "
        f"{shown(failing['left_alone_until'])}; then it is tried again: see `mailer doctor`."
    )
