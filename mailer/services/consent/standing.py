"""Why we may write to a reader: the consents that stand, read from what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailer.domain.consent import AGREES, Basis, ConsentState, Method, SubscriptionState, next_state

Event = Mapping[str, Any]
"""An event as `mailer.services.readers.readers.consent_events` returns it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A consent that stands: the event since which it does, and the last that agreed to it.

    What was implied before the reader gave their word is another one, and over.
    """

    given: Event
    last: Event

    @property
    def implied(self) -> bool:
        """Whether it rests on a relation, not on the reader's word."""
        return str(self.last["basis"]) == Basis.IMPLIED


def standing_consents(events: Sequence[Event], *, now: datetime) -> list[Standing]:
    """Return the consents that stand now, in the order in which they were first asked for."""
    purposes: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        purposes.setdefault((event["newsletter"], event["purpose"]), []).append(event)
    found = (_standing(mine, now) for mine in purposes.values())
    return [each for each in found if each is not None]


def _standing(events: Sequence[Event], now: datetime) -> Standing | None:
    """Follow one purpose's events through the table; None where they do not end in a consent."""
    state: SubscriptionState | None = None
    given: Event | None = None
    last: Event | None = None
    for event in events:
        after = next_state(state, ConsentState(event["state"]), Method(event["method"])) or state
        if after is not SubscriptionState.ACTIVE:
            given = last = None
        elif event["state"] in AGREES:
            given, last = event if given is None or _takes_place(event, given) else given, event
        state = after
    if given is None or last is None:
        return None
    over = last["valid_until"] is not None and last["valid_until"] <= now
    return None if over else Standing(given, last)


def _takes_place(event: Event, given: Event) -> bool:
    """Say whether the reader's word takes the place of what was only implied."""
    return bool(given["basis"] == Basis.IMPLIED and event["basis"] != Basis.IMPLIED)
