"""A delivery's life as one table; the words are DESIGN's, the SQL is in `mailer.store.ledger`."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class DeliveryKind(StrEnum):
    """What a delivery is for, and so which gate it passes."""

    CAMPAIGN = "campaign"  # gated on the standing consent for the campaign's purpose
    CONFIRMATION = "confirmation"  # gated on a pending request
    SERVICE = "service"  # on a request of the reader
    TEST = "test"

    @property
    def is_repeatable(self) -> bool:
        """Whether one mail too many is better than none, where nobody knows whether it went."""
        return self in (DeliveryKind.CONFIRMATION, DeliveryKind.SERVICE)


class Lane(IntEnum):
    """Which deliveries go first; the smaller number goes first."""

    TRANSACTIONAL = 0
    BREAKING = 1
    REGULAR = 2


class DeliveryState(StrEnum):
    """Where one delivery stands."""

    QUEUED = "queued"
    LEASED = "leased"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNCERTAIN = "uncertain"
    PRESUMED_SENT = "presumed_sent"


_S = DeliveryState

# state → the states that may follow it
TRANSITIONS: dict[DeliveryState, frozenset[DeliveryState]] = {
    _S.QUEUED: frozenset(
        {_S.LEASED, _S.UNCERTAIN}  # uncertain: in a restored backup, for it may have gone out since
        | {_S.SUPPRESSED, _S.WITHDRAWN, _S.EXPIRED, _S.CANCELLED}
    ),
    _S.LEASED: frozenset(
        {_S.SENDING, _S.QUEUED, _S.LEASED, _S.FAILED, _S.UNCERTAIN}
        | {_S.SUPPRESSED, _S.WITHDRAWN, _S.EXPIRED, _S.CANCELLED}
    ),
    _S.SENDING: frozenset({_S.SENT, _S.QUEUED, _S.FAILED, _S.UNCERTAIN}),
    _S.UNCERTAIN: frozenset({_S.SENT, _S.QUEUED, _S.PRESUMED_SENT}),
    _S.FAILED: frozenset({_S.QUEUED}),  # by `campaign retry` alone
    _S.SENT: frozenset(),
    _S.SUPPRESSED: frozenset(),
    _S.WITHDRAWN: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.PRESUMED_SENT: frozenset(),
}

OPEN = frozenset({_S.QUEUED, _S.LEASED, _S.SENDING})
"""States in which something is still to be done by itself; a campaign is done without them."""

CLOSABLE = frozenset({_S.QUEUED, _S.LEASED})
"""States that a withdrawal ends at once: the relay has not been given a byte of content."""

MAY_HAVE_ARRIVED = frozenset({_S.SENDING, _S.SENT, _S.UNCERTAIN, _S.PRESUMED_SENT})
"""States of what a relay has, or may have: its reader has seen what was in it, or may have."""

NEVER_HANDED_OVER = frozenset({_S.SUPPRESSED, _S.WITHDRAWN, _S.EXPIRED, _S.CANCELLED})
"""Final states of what no relay has taken, and none ever will."""


def may_follow(before: DeliveryState, after: DeliveryState) -> bool:
    """Say whether the table allows the step."""
    return after in TRANSITIONS[before]
