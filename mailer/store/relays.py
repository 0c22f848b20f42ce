"""Relays and what they have taught us; kept here so that no restart forgets a back-off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mailer.domain.replies import masked
from mailer.domain.retry import relay_back_off
from mailer.store.clock import Now, at
from mailer.store.models import Relay, RelayState
from mailer.store.once import insert_once

DEFAULT_RELAY = "default"
ITSELF = "*"
"""The provider under which a relay's own trouble is kept."""


def default_relay(session: Session) -> int:
    """Return the id of the relay from the settings; the row is made at first use."""
    found = select(Relay.id).where(Relay.name == DEFAULT_RELAY)
    known = session.scalar(found)
    if known is not None:
        return known
    insert_once(
        session, Relay, {"name": DEFAULT_RELAY, "url": "", "kind": "queueing", "paused": False}
    )
    return session.scalars(found).one()


def point_default_at(session: Session, endpoint: str) -> None:
    """Note where the relay from the settings is; another one does not inherit its troubles."""
    relay = session.get_one(Relay, default_relay(session), with_for_update=True)
    if relay.url != endpoint:
        relay.url = endpoint
        session.execute(delete(RelayState).where(RelayState.relay_id == relay.id))


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a relay may be tried now, and whether it has failed since it last worked."""

    may_be_tried: bool
    failing: bool


def standing_of(session: Session, relay_id: int, *, now: Now = None) -> Standing:
    """Return how a relay stands: left alone, on probation, or trusted."""
    row = session.execute(
        select(RelayState.failures, RelayState.back_off_until > at(now)).where(
            RelayState.relay_id == relay_id, RelayState.provider == ITSELF
        )
    ).first()
    if row is None:
        return Standing(may_be_tried=True, failing=False)
    return Standing(may_be_tried=not row[1], failing=row[0] > 0)


def back_off(session: Session, relay_id: int, reason: str, *, now: datetime) -> timedelta:
    """Leave the relay alone for a while, longer after every failure in a row; return how long."""
    insert_once(
        session,
        RelayState,
        {"relay_id": relay_id, "provider": ITSELF, "failures": 0, "reason": ""},
    )
    state = session.get_one(
        RelayState, {"relay_id": relay_id, "provider": ITSELF}, with_for_update=True
    )
    already = state.back_off_until is not None and state.back_off_until > now
    if not already:  # many connections fail at once: that is one failure
        state.failures += 1
        state.back_off_until = now + relay_back_off(state.failures)
    state.reason = masked(reason)
    assert state.back_off_until is not None
    return state.back_off_until - now


def recovered(session: Session, relay_id: int) -> None:
    """Forget the failures of a relay that works again."""
    state = session.get(RelayState, {"relay_id": relay_id, "provider": ITSELF})
    if state is not None and state.failures:
        state.failures, state.back_off_until, state.reason = 0, None, ""


def troubles(session: Session) -> list[tuple[str, str, datetime]]:
    """Return name, reason and end of every back-off, for people."""
    rows = session.execute(
        select(Relay.name, RelayState.reason, RelayState.back_off_until)
        .join(RelayState, RelayState.relay_id == Relay.id)
        .where(RelayState.back_off_until.is_not(None))
    )
    return [(name, reason, until) for name, reason, until in rows if until is not None]
