"""Receiving providers: who turns us away, and whom an operator wants to leave alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mailer.domain.addresses import provider_named
from mailer.services.newsletters.lookup import NotFound
from mailer.store.engine import Sessions
from mailer.store.ledger import let_go
from mailer.store.models import Campaign, ProviderHold, Relay, RelayState
from mailer.store.once import insert_once
from mailer.store.relays import ITSELF, provider_rows

_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class ProviderStanding:
    """A provider that is not sent to as fast as it could be, and why. `rate` in mails/s."""

    provider: str
    held_since: datetime | None
    relay: str | None = None
    failures: int = 0
    left_alone_until: datetime | None = None
    rate: float | None = None
    reason: str = ""


def list_providers(session: Session, *, now: datetime) -> list[ProviderStanding]:
    """Return every provider that is held, left alone or slowed down; held ones first."""
    held = {
        hold.provider: hold.since
        for hold in session.scalars(select(ProviderHold).order_by(ProviderHold.provider))
    }
    standings = [ProviderStanding(name, since) for name, since in held.items()]
    reasons = {
        (state.relay_id, state.provider): state.reason
        for state in session.scalars(select(RelayState).where(RelayState.provider != ITSELF))
    }
    for relay in session.scalars(select(Relay).order_by(Relay.id)):
        for row in provider_rows(session, relay.id):
            rate = row.allowed_rate(now)
            until = row.back_off_until if row.left_alone else None
            if row.failures or rate is not None:
                reason = reasons[relay.id, row.provider]
                standing = ProviderStanding(
                    row.provider, held.get(row.provider), relay.name, row.failures, until, rate,
                    reason,
                )  # fmt: skip
                standings.append(standing)
    return standings


def hold_provider(session: Session, name: str, *, now: datetime) -> tuple[str, bool]:
    """Send nothing more to a provider, at any relay; return its name, and whether that is new."""
    provider = provider_named(name)
    return provider, insert_once(session, ProviderHold, {"provider": provider, "since": now})


def release_provider(
    sessions: Sessions,
    name: str,
    *,
    advance: Callable[[int], None] = lambda _: None,
    note: Callable[[Session, str], None] = lambda *_: None,
) -> tuple[str, int]:
    """Send to a provider again, as if nothing had been; return its name, and how much waited.

    Also forgets what it has taught us. What waited is due again as it was before; that is done in
    chunks, and doing it again does the rest. `note` is given the provider's name in the first
    transaction. Raises NotFound where nothing is known of it.
    """
    provider = provider_named(name)
    with sessions.begin() as session:
        known = session.execute(delete(ProviderHold).where(ProviderHold.provider == provider))
        taught = session.execute(delete(RelayState).where(RelayState.provider == provider))
        waited = _let_go(session, provider)
        if not known.rowcount and not taught.rowcount and not waited:  # type: ignore[attr-defined]
            raise NotFound(
                f"“{provider}” is neither held nor left alone: see `mailer provider list`."
            )
        note(session, provider)
    total = waited
    while waited:
        advance(total)
        with sessions.begin() as session:
            waited = _let_go(session, provider)
        total += waited
    return provider, total


def _let_go(session: Session, provider: str) -> int:
    """Make a chunk of what waits for a provider due again."""
    open_ones = select(Campaign.id).where(Campaign.state.in_(("sending", "paused")))
    connection = session.connection()
    for campaign_id in (None, *session.scalars(open_ones)):
        moved = let_go(connection, campaign_id, provider, limit=_CHUNK)
        if moved:
            return moved
    return 0
