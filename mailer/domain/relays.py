"""Where a relay is and how to talk to it, parsed once from its URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit

from mailer.domain.errors import Refusal
from mailer.domain.urls import is_loopback


class BadRelay(Refusal):
    """The relay's URL cannot be used; the message never holds the password."""


class Security(StrEnum):
    """How the connection is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class RelayKind(StrEnum):
    """Whether a relay delivers later, or answers with the receiver's own reply."""

    QUEUEING = "queueing"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """One relay as configured. Rates are in messages per second; None: no limit.

    `connections` is what one worker opens; everything else holds for all workers together, and
    what is per provider only for a `direct` relay.
    """

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = field(default="", repr=False)
    connections: int = 50
    rate: float | None = None
    max_connections: int | None = None
    kind: RelayKind = RelayKind.QUEUEING
    provider_connections: int = 10
    provider_rate: float | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


_DEFAULT_PORTS = {"smtp": 587, "smtps": 465}
_MOST_CONNECTIONS = 1000
_LONGEST = 1_000
_OPTIONS = (
    "tls", "connections", "max_connections", "rate", "kind",
    "provider_connections", "provider_rate",
)  # fmt: skip


def parse_relay_url(url: str) -> RelayConfig:
    """Read `smtp://user:password@host:587?tls=required&connections=50`; raises BadRelay."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = None, None
    odd = not url.isprintable() or " " in url
    if parts is None or parts.path or parts.fragment or "@" in parts.query or odd or port == 0:
        raise BadRelay(
            "The relay's URL cannot be read: write smtp://user:password@host:port?option=…, "
            "with / ? # @ : and % in user and password as %2F %3F %23 %40 %3A %25."
        )
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or len(url) > _LONGEST:
        raise BadRelay("The relay's URL must look like smtp://host:587 or smtps://host:465.")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options:
        if name not in _OPTIONS:
            raise BadRelay(
                f"The relay's URL has an unknown option{_shown(name)}: use {', '.join(_OPTIONS)}."
            )
    config = RelayConfig(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        security=_security(parts.scheme, options.get("tls", "required")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        connections=_number(options, "connections") or 50,
        rate=_rate(options, "rate"),
        max_connections=_number(options, "max_connections"),
        kind=_kind(options.get("kind") or "queueing"),
        provider_connections=_number(options, "provider_connections") or 10,
        provider_rate=_rate(options, "provider_rate"),
    )
    if config.user and config.security is Security.NONE and not is_loopback(config.host):
        raise BadRelay(
            f"The relay {config} would be sent a password without TLS: use tls=required."
        )
    return config


def _shown(name: str) -> str:
    """Return an option's name where it can be no piece of a password that was not encoded."""
    return f" “{name}”" if name.isalpha() and name.islower() and len(name) < 20 else ""


def _security(scheme: str, tls: str) -> Security:
    if scheme == "smtps":
        return Security.IMPLICIT
    if tls not in ("required", "none"):
        raise BadRelay(f"The relay's option tls is “{tls}”: write tls=required or tls=none.")
    return Security.STARTTLS if tls == "required" else Security.NONE


def _number(options: Mapping[str, str], name: str) -> int | None:
    text = options.get(name) or ""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:5]) <= _MOST_CONNECTIONS:
        raise BadRelay(f"The relay's option {name} must be a number from 1 to {_MOST_CONNECTIONS}.")
    return int(text)


def _rate(options: Mapping[str, str], name: str) -> float | None:
    text = options.get(name) or ""
    if not text:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e6:
        raise BadRelay(f"The relay's option {name} must be a number of messages per second.")
    return rate


def _kind(text: str) -> RelayKind:
    try:
        return RelayKind(text)
    except ValueError:
        raise BadRelay("The relay's option kind must be queueing or direct.") from None


class RelayUse(StrEnum):
    """What an operator wants of a relay."""

    ACTIVE = "active"
    DRAINING = "draining"  # it is given nothing new
    PAUSED = "paused"  # and what waits for it in a worker goes back, too


def split_password(url: str) -> tuple[str, str]:
    """Return the URL without its password, and the password as it stands there (or "")."""
    scheme, separator, rest = url.partition("://")
    login, at, where = rest.rpartition("@")
    user, _, password = login.partition(":")
    return f"{scheme}{separator}{user}{at}{where}", password


def with_password(url: str, password: str) -> str:
    """Put back what `split_password` took out."""
    if not password:
        return url
    scheme, _, rest = url.partition("://")
    user, _, where = rest.rpartition("@")
    return f"{scheme}://{user}:{password}@{where}"
