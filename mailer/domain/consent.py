"""Consent: what a reader may have said, and what follows for a subscription.

States of a consent event are those of ISO/IEC TS 27560; the state of a subscription is derived
from the events by `TRANSITIONS` and by nothing else.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

CONFIRM_WITHIN = timedelta(days=7)
"""How long a request waits for its confirmation."""


class ConsentState(StrEnum):
    """What one consent event says."""

    REQUESTED = "requested"
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    RENEWED = "renewed"
    TERMINATED = "terminated"
    INVALIDATED = "invalidated"


class Method(StrEnum):
    """How it was said."""

    FORM = "form"
    CONFIRM = "confirm"
    PREFERENCES = "preferences"
    ONE_CLICK = "one-click"
    MAILTO = "mailto"
    CLI = "cli"
    IMPORT = "import"
    API = "api"
    COMPLAINT = "complaint"
    EXPIRY = "expiry"
    ERASURE = "erasure"


class Basis(StrEnum):
    """What mail to the reader rests on: their word, or a relation that ends by itself (CASL)."""

    CONSENT = "consent"
    IMPLIED = "implied"


class SubscriptionState(StrEnum):
    """Where one reader stands with one purpose."""

    PENDING = "pending"
    ACTIVE = "active"
    LEFT = "left"
    REFUSED = "refused"
    EXPIRED = "expired"


_S = SubscriptionState
_C = ConsentState

# (state now, event) → state after; what is missing here changes nothing and is not recorded.
TRANSITIONS: dict[tuple[SubscriptionState | None, ConsentState], SubscriptionState] = {
    (None, _C.REQUESTED): _S.PENDING,
    (_S.PENDING, _C.REQUESTED): _S.PENDING,  # again, later or under another wording
    (_S.LEFT, _C.REQUESTED): _S.PENDING,
    (_S.REFUSED, _C.REQUESTED): _S.PENDING,
    (_S.EXPIRED, _C.REQUESTED): _S.PENDING,
    (None, _C.GIVEN): _S.ACTIVE,
    (_S.PENDING, _C.GIVEN): _S.ACTIVE,
    (_S.LEFT, _C.GIVEN): _S.ACTIVE,
    (_S.REFUSED, _C.GIVEN): _S.ACTIVE,
    (_S.EXPIRED, _C.GIVEN): _S.ACTIVE,
    (None, _C.REFUSED): _S.REFUSED,
    (_S.PENDING, _C.REFUSED): _S.REFUSED,
    (_S.EXPIRED, _C.REFUSED): _S.REFUSED,  # or a later import would take the old "yes" for one
    (_S.PENDING, _C.EXPIRED): _S.EXPIRED,
    (_S.ACTIVE, _C.EXPIRED): _S.EXPIRED,
    (_S.PENDING, _C.WITHDRAWN): _S.LEFT,
    (_S.ACTIVE, _C.WITHDRAWN): _S.LEFT,
    (_S.ACTIVE, _C.RENEWED): _S.ACTIVE,
    (_S.PENDING, _C.TERMINATED): _S.LEFT,
    (_S.ACTIVE, _C.TERMINATED): _S.LEFT,
    (_S.PENDING, _C.INVALIDATED): _S.REFUSED,
    (_S.ACTIVE, _C.INVALIDATED): _S.REFUSED,
}

# What else may be said while the consent that is active is only implied: the reader's own word.
WHILE_IMPLIED: dict[ConsentState, SubscriptionState] = {
    _C.REQUESTED: _S.ACTIVE,
    _C.GIVEN: _S.ACTIVE,
}

AGREES = frozenset({_C.GIVEN.value, _C.RENEWED.value})
"""Events by which a reader agrees to the wording that the event names."""

# What only the reader's own act may undo: an import or a command of the operator never does.
ENDED_BY_READER = frozenset({_S.LEFT, _S.REFUSED})
READERS_OWN_ACTS = frozenset({Method.FORM, Method.CONFIRM, Method.PREFERENCES, Method.API})


def next_state(
    now: SubscriptionState | None, event: ConsentState, method: Method, *, implied: bool = False
) -> SubscriptionState | None:
    """Return the state after the event, or None where the event changes nothing.

    `implied`: what is active now ends by itself. Confirming works on a request that stands
    (`pending`) and on one that ran out (`expired`), never on a reader who has left since: an old
    link must not bring anybody back.
    """
    gives = event in (ConsentState.GIVEN, ConsentState.REQUESTED)
    if now in ENDED_BY_READER and gives:
        if method not in READERS_OWN_ACTS:
            return None
        if method is Method.CONFIRM and event is ConsentState.GIVEN:
            return None
    if now is _S.ACTIVE and implied and event in WHILE_IMPLIED:
        return WHILE_IMPLIED[event] if method in READERS_OWN_ACTS else None
    return TRANSITIONS.get((now, event))


def asks_meanwhile(after: SubscriptionState, event: ConsentState) -> bool:
    """Say whether the event asks for the reader's word while an implied consent goes on.

    Until it is confirmed, what is active ends when it would have ended.
    """
    return after is _S.ACTIVE and event is _C.REQUESTED


def goes_on(before: SubscriptionState | None, after: SubscriptionState) -> bool:
    """Say whether a subscription that was active is so still: it is since it became so."""
    return before is after is _S.ACTIVE


def withdraws(state: SubscriptionState | None) -> bool:
    """Say whether reaching `state` closes the deliveries that are still open."""
    return state in (_S.LEFT, _S.REFUSED, _S.EXPIRED)


ENDS = frozenset(event for (_, event), after in TRANSITIONS.items() if withdraws(after))
"""Events after which nobody may be written to for the purpose."""
