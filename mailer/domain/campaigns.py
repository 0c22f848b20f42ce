"""A campaign's states: one frozen content on its way to one frozen audience."""

from __future__ import annotations

from enum import StrEnum


class CampaignState(StrEnum):
    """Where a campaign stands."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PREPARING = "preparing"
    SENDING = "sending"
    FINISHED = "finished"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_S = CampaignState

TRANSITIONS: dict[CampaignState, frozenset[CampaignState]] = {
    # expired: nobody approved it in time
    _S.DRAFT: frozenset({_S.SCHEDULED, _S.PREPARING, _S.CANCELLED, _S.EXPIRED}),
    _S.SCHEDULED: frozenset({_S.DRAFT, _S.PREPARING, _S.PAUSED, _S.CANCELLED, _S.EXPIRED}),
    _S.PREPARING: frozenset({_S.SENDING, _S.PAUSED, _S.CANCELLED, _S.EXPIRED}),
    # back to preparing: its canary went well, and the rest is planned; or it is corrected
    _S.SENDING: frozenset({_S.PREPARING, _S.FINISHED, _S.PAUSED, _S.CANCELLED, _S.EXPIRED}),
    _S.PAUSED: frozenset({_S.SCHEDULED, _S.PREPARING, _S.SENDING, _S.CANCELLED, _S.EXPIRED}),
    _S.FINISHED: frozenset({_S.SENDING}),  # `campaign retry` and `reconcile` reopen it
    _S.CANCELLED: frozenset(),
    _S.EXPIRED: frozenset(),
}


def may_follow(before: CampaignState, after: CampaignState) -> bool:
    """Say whether the table allows the step."""
    return after in TRANSITIONS[before]
