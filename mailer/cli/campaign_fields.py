"""How a campaign's report reads as one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mailer.cli.console import shown
from mailer.domain.campaigns import CampaignState
from mailer.domain.canary import CanaryState


def campaign_sentence(report: Mapping[str, Any]) -> str:
    """Return the state, of one that is paused why, and the counts that are not zero."""
    counts = ", ".join(f"{count} {state}" for state, count in report["counts"].items() if count)
    audience = report["audience"]
    reach = f" to {audience} readers" if isinstance(audience, int) and audience else ""
    canary = canary_sentence(report["canary"])
    waits = report.get("approval")
    if waits and waits["decision"] == "open":
        asked = f"{waits['asked']} to approve it" if waits["asked"] else "an approval"
        return (
            f"Campaign {report['campaign_id']} “{report['subject']}”{reach} waits until "
            f"{shown(waits['until'])} for {asked}."
        )
    paused = report["state"] == CampaignState.PAUSED and report.get("paused_reason")
    state = f"{report['state']} ({paused})" if paused else report["state"]
    return (
        f"Campaign {report['campaign_id']} “{report['subject']}”{reach} is {state}"
        f"{f': {counts}' if counts else ''}{f'; canary: {canary}' if canary else ''}."
    )


def left_out_sentences(images: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return which stories go without their image, and why."""
    return [f"The image of “{each['title']}” is left out: {each['reason']}" for each in images]


def versions_sentence(versions: Sequence[Mapping[str, Any]]) -> str:
    """Return who got which version of a campaign that was corrected."""
    told = []
    for each in versions:
        counts = ", ".join(f"{count} {state}" for state, count in each["counts"].items() if count)
        until = f" (until {shown(each['replaced_at'])})" if each["replaced_at"] else ""
        told.append(f"{each['version']} “{shown(each['subject'])}”{until}: {counts or 'nobody'}")
    return "; ".join(told)


def canary_sentence(canary: Mapping[str, Any] | None) -> str:
    """Return how a campaign's sample stands; empty where none was ordered."""
    if canary is None:
        return ""
    if canary["readers"] is None:
        what = "of the readers" if canary["ordered"].endswith("%") else "readers"
        return f"{canary['ordered']} {what} go first"
    sample = f"{canary['readers']:,} of {canary['audience']:,} readers"
    match CanaryState(canary["state"]):
        case CanaryState.ORDERED | CanaryState.TRYING:
            return f"{sample}, not all tried yet"
        case CanaryState.WAITING:
            return f"{sample}, waits until {shown(canary['waits_until'])}"
        case CanaryState.HELD:
            return f"{sample}, held"
        case CanaryState.RELEASED:
            return f"{sample} first, all since {shown(canary['released_at'])}"
        case CanaryState.ENDED:
            return f"{sample}, and nobody else"
