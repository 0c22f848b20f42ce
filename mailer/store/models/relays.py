"""Relays, and what they and the receiving providers behind them have taught us."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from mailer.store.models.base import Base, BigId, id_column


class Relay(Base):
    """An SMTP server that we submit to. The one from the settings is named `default`."""

    __tablename__ = "relay"

    id: Mapped[id_column]
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]  # without the password; of `default`, host and port alone
    sealed_password: Mapped[str | None]
    kind: Mapped[str]
    newsletter_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("newsletter.id", ondelete="CASCADE")
    )
    lane: Mapped[int | None]
    preference: Mapped[int]  # the smaller comes first
    use: Mapped[str]
    warm_up_first: Mapped[int | None]  # mails on the first day; NULL: as many as there are
    warm_up_growth: Mapped[float | None]
    warm_up_since: Mapped[datetime | None]


class RelayDay(Base):
    """How many mails a relay that is warming up has been given on a day (UTC, as YYYYMMDD)."""

    __tablename__ = "relay_day"

    relay_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("relay.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[int] = mapped_column(primary_key=True)
    taken: Mapped[int]


class RelayState(Base):
    """What a relay has taught us, per receiving provider (`*`: the relay itself)."""

    __tablename__ = "relay_state"

    relay_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("relay.id", ondelete="CASCADE"), primary_key=True
    )
    provider: Mapped[str] = mapped_column(primary_key=True)
    back_off_until: Mapped[datetime | None]
    failures: Mapped[int]
    probed_until: Mapped[datetime | None]  # a worker is trying one mail, and has as long as this
    probed_by: Mapped[str | None]
    rate: Mapped[float | None]  # messages/s to go on with after it was too fast
    slowed_at: Mapped[datetime | None]  # from when that rate grows
    reason: Mapped[str]


class ProviderHold(Base):
    """A receiving provider that an operator wants to send nothing to for now."""

    __tablename__ = "provider_hold"

    provider: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
