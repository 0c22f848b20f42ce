"""Importing a list: what a row says of a reader, and what follows for one who is known already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from mailer.domain.consent import ConsentState, Method, SubscriptionState, next_state
from mailer.domain.suppression import SuppressionReason


class Standing(StrEnum):
    """How a reader stands in the list that a row is from."""

    SUBSCRIBED = "subscribed"
    UNCONFIRMED = "unconfirmed"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    BLOCKED = "blocked"


STRENGTH = {
    standing: place
    for place, standing in enumerate(
        (
            Standing.COMPLAINED,
            Standing.BOUNCED,
            Standing.BLOCKED,
            Standing.UNSUBSCRIBED,
            Standing.SUBSCRIBED,
            Standing.UNCONFIRMED,
        )
    )
}
"""Of two rows for one reader the one with the smaller number counts: no is stronger than yes."""

SUPPRESSES = {
    Standing.BOUNCED: SuppressionReason.HARD_BOUNCE,
    Standing.COMPLAINED: SuppressionReason.COMPLAINT,
    Standing.BLOCKED: SuppressionReason.OPERATOR,
}


class ListRow(NamedTuple):
    """One good row of a list, ready to be imported. Times are milliseconds since 1970."""

    hashed: str
    line: int
    email: str
    provider: str
    name: str
    locale: str
    timezone: str
    attributes: str  # JSON, or empty
    standing: str
    stated_at: int | None


class Reader(NamedTuple):
    """The row that counts for one reader, and the lines of the other rows with the address."""

    row: ListRow
    doubles: tuple[int, ...]

    @property
    def rows(self) -> int:
        """How many rows of the list this reader takes."""
        return 1 + len(self.doubles)


def readers_of(rows: Iterable[ListRow]) -> Iterator[Reader]:
    """Yield one reader an address; the rows come in the order of hashes and lines."""
    for _, group in groupby(rows, attrgetter("hashed")):
        same = list(group)
        best = same[0] if len(same) == 1 else min(same, key=_strength)
        yield Reader(best, tuple(row.line for row in same if row is not best))


def _strength(row: ListRow) -> int:
    return STRENGTH[Standing(row.standing)]


class Outcome(StrEnum):
    """What became of a row; every row has exactly one."""

    NEW = "new"
    """A consent was recorded (or, with a confirmation, asked for)."""
    ALREADY = "already"
    """The reader had said so before."""
    STAYS_AWAY = "stays_away"
    """The reader has left or refused here, and only the reader can come back."""
    LEFT = "left"
    """The list says that the reader left: that was recorded."""
    SUPPRESSED = "suppressed"
    """The address must not be mailed, because we knew it or because the list says so."""
    DOUBLED = "doubled"
    """Another row of the file is the same reader."""
    REJECTED = "rejected"
    """The row cannot be used; it stands in the reject file, with the reason."""


class Decision(NamedTuple):
    """The outcome of a row, and what is to be recorded: one place for every purpose."""

    outcome: Outcome
    events: tuple[ConsentState | None, ...] = ()


def decide(
    standing: Standing,
    before: Sequence[SubscriptionState | None],
    *,
    suppressed: bool,
    given: ConsentState = ConsentState.GIVEN,
) -> Decision:
    """Decide about a row, with the reader's subscriptions in the order of the purposes.

    `given` is what a subscribed row is taken for: consent, or with a confirmation a request.
    """
    if suppressed or standing in SUPPRESSES:
        return Decision(Outcome.SUPPRESSED)
    if standing is Standing.UNSUBSCRIBED:
        left = tuple(_farewell(state) for state in before)
        return Decision(Outcome.LEFT if any(left) else Outcome.STAYS_AWAY, left)
    said = tuple(given if _changes(state, given) else None for state in before)
    if any(said):
        return Decision(Outcome.NEW, said)
    stands = all(state in _STANDING for state in before)
    return Decision(Outcome.ALREADY if stands else Outcome.STAYS_AWAY, said)


def _farewell(state: SubscriptionState | None) -> ConsentState | None:
    """Return what is to be said for a reader who has left elsewhere."""
    active = state is SubscriptionState.ACTIVE
    said = ConsentState.WITHDRAWN if active else ConsentState.REFUSED
    return said if next_state(state, said, Method.IMPORT) else None


def _changes(state: SubscriptionState | None, given: ConsentState) -> bool:
    if state is SubscriptionState.PENDING and given is ConsentState.REQUESTED:
        return False  # asked already
    return next_state(state, given, Method.IMPORT) is not None


_STANDING = (SubscriptionState.ACTIVE, SubscriptionState.PENDING)
