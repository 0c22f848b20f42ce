"""What the events of a reader come to, and whether the subscriptions say the same.

The fold knows nothing but the tables in `mailer.domain.consent` that wrote the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from mailer.domain.consent import (
    ConsentState,
    Method,
    SubscriptionState,
    asks_meanwhile,
    goes_on,
    next_state,
)
from mailer.services.audit.findings import Finding, Kind
from mailer.store.auditing import EventRow, SubscriptionRow
from mailer.store.auditing_log import PurposeRow


class Standing(NamedTuple):
    """Where a reader stood from a moment on, because of an event."""

    state: SubscriptionState
    at: str
    since: str
    """Since when the subscription is in the state; what leaves it active begins nothing."""
    valid_until: str | None
    event: int
    asks: bool = False
    """Whether the reader's word is asked for besides (`asks_meanwhile`)."""


Histories = Mapping[tuple[int, int], Sequence[Standing]]
"""Reader and purpose → where they stood, oldest first."""


class Folded(NamedTuple):
    """What a page of events comes to, and the events that nothing allows."""

    histories: dict[tuple[int, int], list[Standing]]
    impossible: list[Finding]


def fold(events: Iterable[EventRow]) -> Folded:
    """Go through the events, each reader's in their order."""
    histories: dict[tuple[int, int], list[Standing]] = {}
    impossible = []
    for event in events:
        history = histories.setdefault((event.subscriber_id, event.purpose_id), [])
        before = history[-1] if history else None
        after = _after(before, event)
        if after is None:
            impossible.append(_impossible(event, before.state if before else None))
        else:
            history.append(after)
    return Folded(histories, impossible)


def _after(before: Standing | None, event: EventRow) -> Standing | None:
    was = before.state if before else None
    implied = before is not None and before.valid_until is not None
    after = _next(was, event.state, event.method, implied)
    if after is None:
        return None
    if before is None or not goes_on(was, after):
        return Standing(after, event.at, event.at, event.valid_until, event.id)
    asks = asks_meanwhile(after, ConsentState(event.state))
    ends = before.valid_until if asks else event.valid_until
    return Standing(after, event.at, before.since, ends, event.id, asks)


@cache
def _next(
    was: SubscriptionState | None, state: str, method: str, implied: bool
) -> SubscriptionState | None:
    try:
        return next_state(was, ConsentState(state), Method(method), implied=implied)
    except ValueError:
        return None


def check_subscriptions(
    subscriptions: Iterable[SubscriptionRow],
    histories: Histories,
    readers: Mapping[int, bytes],
    purposes: Mapping[int, PurposeRow],
) -> Iterator[Finding]:
    """Yield the subscriptions that the events do not come to, and those that are missing."""
    seen = set()
    for row in subscriptions:
        key = (row.subscriber_id, row.purpose_id)
        seen.add(key)
        history = histories.get(key)
        if not history:
            yield _found(row, purposes, f"It says {row.state}, and there is no consent event.")
            continue
        if row.subscriber_id not in readers:
            yield _found(row, purposes, "Its reader is gone.")
        words = _difference(row, history[-1], purposes)
        if words:
            yield _found(row, purposes, words)
    for (reader, purpose_id), history in histories.items():
        if history and reader in readers and (reader, purpose_id) not in seen:
            last = history[-1]
            yield Finding(
                Kind.SUBSCRIPTION, "subscription", f"{reader}/{purpose_id}",
                f"It is gone, and the events say {last.state} since {last.since} (event "
                f"{last.event}).",
                {"reader": reader, "purpose": _named(purpose_id, purposes)},
            )  # fmt: skip


def _difference(
    row: SubscriptionRow, last: Standing, purposes: Mapping[int, PurposeRow]
) -> str | None:
    stands = (row.state, row.since, row.valid_until)
    if stands != (last.state, last.since, last.valid_until):
        return (
            f"It says {_words(*stands)}, and the events say "
            f"{_words(last.state, last.since, last.valid_until)} (event {last.event})."
        )
    purpose = purposes.get(row.purpose_id)
    if purpose is not None and purpose.newsletter_id != row.newsletter_id:
        return (
            f"It is of newsletter {row.newsletter_id}, and its purpose of newsletter "
            f"{purpose.newsletter_id}."
        )
    return None


def _words(state: str, since: str, valid_until: str | None) -> str:
    return f"{state} since {since}" + (f" until {valid_until}" if valid_until else "")


def _named(purpose_id: int, purposes: Mapping[int, PurposeRow]) -> str:
    purpose = purposes.get(purpose_id)
    return f"{purpose.newsletter}/{purpose.slug}" if purpose else str(purpose_id)


def _found(row: SubscriptionRow, purposes: Mapping[int, PurposeRow], words: str) -> Finding:
    return Finding(
        Kind.SUBSCRIPTION, "subscription", f"{row.subscriber_id}/{row.purpose_id}", words,
        {"reader": row.subscriber_id, "purpose": _named(row.purpose_id, purposes)},
    )  # fmt: skip


def _impossible(event: EventRow, before: SubscriptionState | None) -> Finding:
    was = f"who was {before}" if before else "who had said nothing"
    if event.state in set(ConsentState) and event.method in set(Method):
        words = f"“{event.state}” by {event.method} is never recorded for a reader {was}."
    else:
        words = f"“{event.state}” by “{event.method}” is nothing that a reader can say."
    return Finding(
        Kind.HISTORY, "consent_event", str(event.id), words,
        {"reader": event.subscriber_id},
    )  # fmt: skip
