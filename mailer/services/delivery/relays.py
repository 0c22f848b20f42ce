"""Relays beside the one from the settings: what an operator adds, pauses, drains and removes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.deliveries import Lane
from mailer.domain.relays import RelayKind, RelayUse, parse_relay_url, split_password
from mailer.services.newsletters.lookup import NotFound
from mailer.services.newsletters.newsletters import BadValue, checked_slug
from mailer.store.models import Newsletter, Relay
from mailer.store.relays import DEFAULT_RELAY, RelayRow, default_relay, relay_rows
from mailer.store.sealing import Sealer

_MOST_GROWTH = 10.0


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How many mails on the first day (UTC), and by how much more on every following one."""

    first: int
    growth: float = 1.5


@dataclass(frozen=True, slots=True)
class Scope:
    """What a relay is for; None means: any."""

    newsletter: Newsletter | None = None
    lane: Lane | None = None


FOR_ALL = Scope()


def add_relay(
    session: Session,
    *,
    name: str,
    url: str,
    sealer: Sealer,
    scope: Scope = FOR_ALL,
    kind: RelayKind | None = None,
    preference: int = 10,
    warm_up: WarmUp | None = None,
    now: datetime,
) -> Relay:
    """Add a relay; its password is sealed. Raises BadRelay, BadValue."""
    checked_slug(name)
    if name == DEFAULT_RELAY or session.scalar(select(Relay.id).where(Relay.name == name)):
        raise BadValue(
            f"There is a relay “{name}” already: choose another name, or remove it first."
        )
    config = parse_relay_url(url)
    if warm_up is not None and (warm_up.first < 1 or not 1.0 <= warm_up.growth <= _MOST_GROWTH):
        raise BadValue(
            "A warm-up begins with at least 1 mail a day, and grows by a factor of 1 to "
            f"{_MOST_GROWTH:.0f} a day."
        )
    bare, password = split_password(url)
    default_relay(session)  # so that it comes first where nothing else decides
    relay = Relay(
        name=name,
        url=bare,
        sealed_password=sealer.seal(password) if password else None,
        kind=(kind or config.kind).value,
        newsletter_id=scope.newsletter.id if scope.newsletter else None,
        lane=None if scope.lane is None else int(scope.lane),
        preference=preference,
        use=RelayUse.ACTIVE.value,
        warm_up_first=warm_up.first if warm_up else None,
        warm_up_growth=warm_up.growth if warm_up else None,
        warm_up_since=now if warm_up else None,
    )
    session.add(relay)
    session.flush()
    return relay


def find_relay(session: Session, name: str) -> Relay:
    """Return a relay by name; raises NotFound."""
    default_relay(session)
    found = select(Relay).where(Relay.name == name)
    relay = session.scalar(found) if name.isprintable() else None  # no database stores a NUL
    if relay is None:
        names = ", ".join(session.scalars(select(Relay.name).order_by(Relay.name)))
        raise NotFound(f"There is no relay “{name}”: there are {names}.")
    return relay


def use_relay(session: Session, name: str, use: RelayUse) -> Relay:
    """Pause, drain or use a relay again; workers see it within two seconds."""
    relay = find_relay(session, name)
    relay.use = use.value
    return relay


def remove_relay(session: Session, name: str) -> None:
    """Forget a relay; what workers have in hand for it goes out. Raises BadValue."""
    relay = find_relay(session, name)
    if relay.name == DEFAULT_RELAY:
        raise BadValue(
            "The relay “default” is the one from MAILER_SMTP_URL: change the setting, or say "
            "`mailer relay pause default`."
        )
    session.delete(relay)


def list_relays(session: Session, *, now: datetime) -> list[dict[str, Any]]:
    """Return every relay and how it stands, as the order is where no newsletter or lane decides."""
    default_relay(session)
    slugs = dict(session.execute(select(Newsletter.id, Newsletter.slug)).all())
    rows = sorted(relay_rows(session, now=now), key=lambda row: (row.preference, row.id))
    return [_standing(row, slugs, now) for row in rows]


def _standing(row: RelayRow, slugs: dict[int, str], now: datetime) -> dict[str, Any]:
    left = row.left_today(now)
    return {
        "name": row.name,
        "url": row.url or "as MAILER_SMTP_URL says",
        "kind": row.kind,
        "newsletter": None if row.newsletter_id is None else slugs[row.newsletter_id],
        "lane": None if row.lane is None else Lane(row.lane).name.lower(),
        "preference": row.preference,
        "use": row.use,
        "standing": _words(row, left),
        "left_alone_until": row.back_off_until if row.left_alone else None,
        "reason": row.reason or "",
        "slowed_to": row.allowed_rate(now),
        "sent_today": row.taken if row.warm_up_first else None,
        "left_today": left,
    }


def _words(row: RelayRow, left: int | None) -> str:
    if row.use != RelayUse.ACTIVE:
        return row.use
    if row.left_alone:
        return "left alone"
    if left == 0:
        return "full for today"
    return "on probation" if row.failures else "works"
