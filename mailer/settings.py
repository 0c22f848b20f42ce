"""Settings: read once, from the environment and `mailer.toml`, into one frozen value.

The only reader of the environment. `FIELDS` is the one table of what may be set; the reference in
`docs/reference/settings.md` is generated from it.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from mailer.domain.errors import Refusal
from mailer.domain.retention import NEVER, RULES, BadPeriod, Kind, Period, read_periods
from mailer.domain.urls import is_loopback


class BadSetting(Refusal):
    """A setting is unknown or cannot be used; the message names it and says what is expected."""


@dataclass(frozen=True, slots=True)
class Field:
    """One setting: its name, what it is for, and its default as people read it."""

    name: str
    meaning: str
    default: str
    secret: bool = False


_UNSIGNED = "none: the relay signs"

FIELDS = (
    Field("MAILER_HOME", "database, keys, inbox, logs of the embedded parts", "./mailer-data"),
    Field(
        "MAILER_DATABASE_URL",
        "`postgresql://…` for PostgreSQL, `sqlite:///PATH` for SQLite",
        "SQLite in `MAILER_HOME`",
    ),
    Field("MAILER_REDIS_URL", "the doorbell's Redis or Valkey", "embedded Valkey in `MAILER_HOME`"),
    Field(
        "MAILER_SMTP_URL",
        "the default relay: `smtp://user:password@host:587?tls=required`, `smtps://…`, "
        "`smtp://127.0.0.1:25?tls=none`, with `connections=50` (of one worker), `rate=` "
        "(messages/s) and `max_connections=` (both of all workers together), "
        "`kind=queueing|direct`, and for `direct` also `provider_connections=10`, "
        "`provider_rate=`; more relays: `mailer relay add`",
        "the built-in capture inbox",
        secret=True,
    ),
    Field("MAILER_BIND", "where the web process listens", "127.0.0.1:8000"),
    Field("MAILER_PUBLIC_URL", "the address that stands in mails", "`http://` + `MAILER_BIND`"),
    Field(
        "MAILER_SECRET_KEY",
        "signs links; newest first, older ones after commas, so that old links live on",
        "made by `mailer init`",
        secret=True,
    ),
    Field(
        "MAILER_SUPPRESSION_KEY",
        "hashes suppressed addresses; never changed",
        "made by `mailer init`",
        secret=True,
    ),
    Field("MAILER_LOG_KEY", "signs the consent log", "made by `mailer init`", secret=True),
    Field("MAILER_EVIDENCE_KEY", "encrypts the evidence of consent", "made by `mailer init`", True),
    Field(
        "MAILER_MIGRATION_URL",
        "the database as its owner, for `mailer init` and `mailer db upgrade` "
        "(docs/how-to/roles.md)",
        "`MAILER_DATABASE_URL`",
        secret=True,
    ),
    Field(
        "MAILER_WITNESS_DIR",
        "checkpoints and journals that a restored backup must not undo; apart from the database "
        "and its backups (docs/how-to/restore.md)",
        "`MAILER_HOME/witness`",
    ),
    Field(
        "MAILER_EVIDENCE",
        "what is kept, sealed, of the request by which a reader consents or leaves: `ip`, "
        "`user-agent`, `page` (commas), or `none`",
        "`ip,user-agent,page`",
    ),
    Field("MAILER_TRUSTED_PROXIES", "whose `X-Forwarded-For` is believed (commas)", "none"),
    Field("MAILER_FETCH_ALLOW", "private hosts that feeds may be fetched from (commas)", "none"),
    Field(
        "MAILER_SPAMASSASSIN",
        "what judges mails as spam before they go (docs/how-to/check.md): `spamassassin`, `spamc`, "
        "a path, or `none`",
        "spamassassin",
    ),
    Field(
        "MAILER_OPERATOR",
        "who the audit trail says has acted; for accounts that several people share",
        "the user (the one behind `sudo`) and the machine",
    ),
    Field("MAILER_DKIM_DOMAIN", "the domain that signs mails (docs/how-to/dkim.md)", _UNSIGNED),
    Field(
        "MAILER_DKIM_SELECTOR", "the DNS name of the RSA key: `SELECTOR._domainkey.…`", _UNSIGNED
    ),
    Field("MAILER_DKIM_KEY_FILE", "the RSA key, a PEM file; 2048 bits", _UNSIGNED),
    Field("MAILER_DKIM_ED25519_SELECTOR", "the DNS name of a second key (RFC 8463)", "none"),
    Field("MAILER_DKIM_ED25519_KEY_FILE", "the Ed25519 key, a PEM file", "none"),
    *(
        Field(
            rule.setting,
            f"days, counted from {rule.counts_from}, after which these go: {rule.what}; "
            f"or `{NEVER}`",
            NEVER if rule.days is None else str(rule.days),
        )
        for rule in RULES
    ),
)

KEY_NAMES = (
    "MAILER_SECRET_KEY",
    "MAILER_SUPPRESSION_KEY",
    "MAILER_LOG_KEY",
    "MAILER_EVIDENCE_KEY",
)
"""Keys also come from a file (`…_FILE`), or from `MAILER_HOME/keys/`, where `init` puts them."""

EVIDENCE = ("ip", "user-agent", "page")
"""What of a reader's request may be kept as evidence."""

_MIN_KEY_LENGTH = 32
_LONGEST_OPERATOR = 100
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")
_PATH = re.compile(r"[A-Za-z0-9._~/-]*")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is, and how this installation behaves."""

    home: Path
    database_url: str
    migration_url: str
    redis_url: str | None
    smtp_url: str | None
    bind_host: str
    bind_port: int
    public_url: str
    witness_dir: Path
    evidence: frozenset[str]  # of `EVIDENCE`
    trusted_proxies: tuple[str, ...]
    fetch_allow: frozenset[str]
    spamassassin: str
    operator: str
    dkim: Mapping[str, str]  # by name; `mailer.signing` makes a signer of them
    keys: Mapping[str, str]
    retention: Mapping[Kind, Period]

    @property
    def mail_domain(self) -> str:
        """The right-hand side of Message-IDs: our own host (RFC 5322 §3.6.4)."""
        host = urlsplit(self.public_url).hostname or "localhost"
        return host if "." in host and not host.replace(".", "").isdigit() else "mailer.invalid"

    @property
    def serves_loopback_alone(self) -> bool:
        """Whether the pages are bound to, and published under, an address of this machine only."""
        return is_loopback(self.bind_host) and is_loopback(urlsplit(self.public_url).hostname or "")

    @property
    def keys_dir(self) -> Path:
        """Where `mailer init` puts the keys, one file each, mode 0600."""
        return self.home / "keys"

    @property
    def inbox_dir(self) -> Path:
        """Where the built-in inbox keeps the mails that it caught."""
        return self.home / "inbox"


def load(environment: Mapping[str, str] | None = None, directory: Path | None = None) -> Settings:
    """Read the settings; raises BadSetting with one sentence that names the culprit."""
    environment = os.environ if environment is None else environment
    directory = directory or Path.cwd()
    given = {key: value for key, value in environment.items() if key.startswith("MAILER_")}
    _refuse_unknown(given, "environment variable")
    home = Path(given.get("MAILER_HOME") or "mailer-data")
    for candidate in (directory / "mailer.toml", home / "mailer.toml"):
        if candidate.is_file():
            given = {**_read_file(candidate), **given}
            break
    home = (directory / Path(given.get("MAILER_HOME") or home)).resolve()
    return _build(given, home, _operator(given.get("MAILER_OPERATOR"), environment))


def _build(given: Mapping[str, str], home: Path, operator: str) -> Settings:
    bind_host, bind_port = _bind(given.get("MAILER_BIND") or "127.0.0.1:8000")
    database = given.get("MAILER_DATABASE_URL") or f"sqlite:///{home / 'mailer.db'}"
    shown_host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind_host, bind_host)
    if ":" in shown_host:
        shown_host = f"[{shown_host}]"
    public = given.get("MAILER_PUBLIC_URL") or f"http://{shown_host}:{bind_port}"
    return Settings(
        home=home,
        database_url=_database_url("MAILER_DATABASE_URL", database),
        migration_url=_database_url(
            "MAILER_MIGRATION_URL", given.get("MAILER_MIGRATION_URL") or database
        ),
        redis_url=_redis_url(given.get("MAILER_REDIS_URL")),
        smtp_url=given.get("MAILER_SMTP_URL") or None,
        bind_host=bind_host,
        bind_port=bind_port,
        public_url=_public_url(public),
        witness_dir=Path(given.get("MAILER_WITNESS_DIR") or home / "witness"),
        evidence=_evidence(given.get("MAILER_EVIDENCE")),
        trusted_proxies=_proxies(given.get("MAILER_TRUSTED_PROXIES")),
        fetch_allow=frozenset(_list(given.get("MAILER_FETCH_ALLOW"))),
        spamassassin=given.get("MAILER_SPAMASSASSIN") or "spamassassin",
        operator=operator,
        dkim={key: text for key, text in given.items() if key.startswith("MAILER_DKIM_") and text},
        keys=_keys(given, home / "keys"),
        retention=_retention(given),
    )


def _refuse_unknown(given: Mapping[str, str], kind: str) -> None:
    known = {field.name for field in FIELDS} | {f"{name}_FILE" for name in KEY_NAMES}
    for name in sorted(given):
        if name not in known:
            raise BadSetting(
                f"Unknown {kind} {name}: see docs/reference/settings.md for the names there are."
            )


def _read_file(path: Path) -> dict[str, str]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path} is not valid TOML: {error}. Mend that line.") from None
    values = {}
    for key, value in document.items():
        if not isinstance(value, str | int | float):
            raise BadSetting(f"{path}: {key} must be a plain value, such as a text in quotes.")
        values[key.upper()] = str(value)
    _refuse_unknown(values, f"key in {path}:")
    return values


def _bind(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise BadSetting(f"MAILER_BIND is “{text}”: write HOST:PORT, such as 127.0.0.1:8000.")
    return host.strip("[]"), int(port)


def _database_url(name: str, text: str) -> str:
    """Return the URL with the driver that we use; the password is never shown in errors."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        _refuse_broken_url(name, text, "postgresql://user:password@host:5432/database")
        return f"postgresql+psycopg://{rest}"
    if separator and scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return text
    raise BadSetting(
        f"{name} must start with postgresql:// or sqlite:///, but it starts with “{scheme[:20]}”."
    )


def _redis_url(text: str | None) -> str | None:
    if not text:
        return None
    if not text.startswith(("redis://", "rediss://", "redis+socket://", "unix://")):
        raise BadSetting("MAILER_REDIS_URL must start with redis://, rediss:// or redis+socket://.")
    _refuse_broken_url("MAILER_REDIS_URL", text, "redis://:password@host:6379/0")
    return text


def _refuse_broken_url(name: str, text: str, example: str) -> None:
    """Raise BadSetting for a host or port that are none; the text may hold a password."""
    try:
        urlsplit(text).port  # noqa: B018 (reading it refuses what is no port)
    except ValueError as error:
        raise BadSetting(f"{name} cannot be read ({error}): write it like {example}.") from None


def _public_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = (
            parts.scheme in ("http", "https")
            and _HOST.fullmatch(parts.hostname or "")
            and parts.port != 0  # reading it refuses what is no port
            and _PATH.fullmatch(parts.path)
            and not (parts.query or parts.fragment or parts.username)
        )
    except ValueError:
        usable = False
    if not usable:
        raise BadSetting(
            f"MAILER_PUBLIC_URL is “{text[:120]}”: write the address that readers reach, "
            "such as https://news.example.org (a name outside ASCII in its xn-- form)."
        )
    return text.rstrip("/")


def _proxies(text: str | None) -> tuple[str, ...]:
    proxies = _list(text)
    for proxy in proxies:
        try:
            ip_address(proxy)
        except ValueError:
            raise BadSetting(
                f"MAILER_TRUSTED_PROXIES names “{proxy[:60]}”: write IP addresses, with commas."
            ) from None
    return proxies


def _retention(given: Mapping[str, str]) -> dict[Kind, Period]:
    try:
        return read_periods(given)
    except BadPeriod as wrong:
        raise BadSetting(str(wrong)) from None


def _evidence(text: str | None) -> frozenset[str]:
    wanted = frozenset(_list(text or ",".join(EVIDENCE)))
    if wanted == {"none"}:
        return frozenset()
    for word in sorted(wanted.difference(EVIDENCE)):
        raise BadSetting(
            f"MAILER_EVIDENCE names “{word[:60]}”: write {', '.join(EVIDENCE)}, some of them with "
            "commas, or none alone."
        )
    return wanted


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _operator(text: str | None, environment: Mapping[str, str]) -> str:
    """Return who acts, for the audit trail: as set, else the person behind this process."""
    name = (text or "").strip()
    if not name.isprintable() or len(name) > _LONGEST_OPERATOR:
        raise BadSetting(
            f"MAILER_OPERATOR must be one line of at most {_LONGEST_OPERATOR} readable characters."
        )
    if name:
        return name
    user = environment.get("SUDO_USER") or _user()
    return "".join(each for each in f"{user}@{socket.gethostname()}" if each.isprintable())


def _user() -> str:
    """Return this process's user; by number where it has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _keys(given: Mapping[str, str], keys_dir: Path) -> dict[str, str]:
    keys = {}
    for name in KEY_NAMES:
        value = given.get(name) or _key_from_file(given.get(f"{name}_FILE"), name)
        if not value and (keys_dir / name.lower()).is_file():
            value = _key_from_file(str(keys_dir / name.lower()), name)
        if value:
            parts = _list(value)
            if not parts or any(len(part) < _MIN_KEY_LENGTH for part in parts):
                raise BadSetting(
                    f"{name} is too short: use at least {_MIN_KEY_LENGTH} characters, "
                    "or let `mailer init` make one."
                )
            keys[name] = value
    return keys


def _key_from_file(path: str | None, name: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise BadSetting(f"{name}: cannot read {path} ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise BadSetting(f"{name}: {path} is no text, so that it holds no key of ours.") from None
