"""From settings to the running parts. The only place that knows all of them."""

from __future__ import annotations

import gc
import os
import random
import socket
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from sqlalchemy import Engine

from mailer.checking import dns_lookup
from mailer.domain.checkpoints import SigningKey
from mailer.domain.errors import Refusal
from mailer.domain.links import Links
from mailer.domain.relays import (
    RelayConfig,
    RelayKind,
    Security,
    parse_relay_url,
    with_password,
)
from mailer.domain.replies import Stage
from mailer.domain.tokens import TokenSigner
from mailer.doorbell import Doorbell
from mailer.embedded.valkey import running_url
from mailer.feeds import fetch, fetch_image, probe
from mailer.logs import log_to_stderr
from mailer.rendering import DkimSigner
from mailer.services.articles.articles import Fetch
from mailer.services.articles.images import ImageKeeper
from mailer.services.campaigns.checking import Asked
from mailer.services.consent.checkpoints import Notary
from mailer.services.consent.witnessing import look_for_rollback
from mailer.services.delivery.sending import Access, Pace, Sender
from mailer.services.installation.installing import keys_are_known, make_keys, remember_keys
from mailer.services.mails.composing import Composer, MailIdentity
from mailer.services.mails.renderer import Renderer
from mailer.services.privacy.erasing import Places
from mailer.services.privacy.practice import Practice
from mailer.settings import KEY_NAMES, BadSetting, Settings, load
from mailer.signing import dkim_signer
from mailer.store.engine import Sessions, open_engine, open_sessions, reading
from mailer.store.log import CheckpointFolder
from mailer.store.migrate import create, refuse_wrong_version
from mailer.store.relays import DEFAULT_RELAY, RelayRow, point_default_at
from mailer.store.roles import service_role
from mailer.store.sealing import Sealer
from mailer.store.vault import Vault
from mailer.store.witness_folder import WitnessFolder
from mailer.transports import ConnectFailed, Connection
from mailer.transports.capture import Mailbox, capture_address
from mailer.transports.smtp import SmtpTransport

_INBOX_CONNECTIONS = 4


class NotInitialised(Refusal):
    """There is no installation here yet."""


class NoBroker(Refusal):
    """There is no Redis to listen to."""


@dataclass(frozen=True)
class Parts:
    """Everything a shell needs to call a service."""

    settings: Settings
    engine: Engine
    sessions: Sessions
    signer: TokenSigner
    suppression_key: bytes
    sealer: Sealer
    links: Links
    identity: MailIdentity
    renderer: Renderer
    dkim: DkimSigner | None
    mailbox: Mailbox | None
    doorbell: Doorbell
    fetch: Fetch
    images: ImageKeeper

    def now(self) -> datetime:
        """The time, as this process sees it."""
        return now()

    @property
    def operator(self) -> str:
        """Who acts, for the audit trail."""
        return self.settings.operator

    @property
    def notary(self) -> Notary:
        """Who signs the consent log."""
        keys = self.settings.keys["MAILER_LOG_KEY"].split(",")
        return Notary(
            urlsplit(self.settings.public_url).netloc,
            [SigningKey(key.strip().encode()) for key in keys if key.strip()],
            self.suppression_key,
            CheckpointFolder(self.settings.witness_dir / "checkpoints"),
        )

    @property
    def practice(self) -> Practice:
        """How this installation treats personal data."""
        return Practice(
            periods=self.settings.retention,
            smtp_url=self.settings.smtp_url,
            public_url=self.settings.public_url,
            suppression_key=self.suppression_key,
            message_id_of=self.identity.message_id,
        )

    @property
    def asked(self) -> Asked:
        """Who can be asked about a mail before it goes. Our own pictures are our own business."""
        own = urlsplit(self.settings.public_url).netloc
        return Asked(
            partial(probe, allow=self.settings.fetch_allow | {own}),
            dns_lookup.system_resolver,
            self.settings.spamassassin,
            self.dkim,
        )

    @property
    def places(self) -> Places:
        """Where, besides in rows, readers leave traces: in an inbox of earlier times, too."""
        return Places(
            self.settings.home,
            Mailbox(self.settings.inbox_dir),
            self.engine,
            self.settings.migration_url,
            self.suppression_key,
        )

    @property
    def witness(self) -> WitnessFolder:
        """The folder that knows how far this database had come."""
        return WitnessFolder(self.settings.witness_dir)

    def sender(self, worker: str) -> Sender:
        """Build the sender of a worker process; it is not started."""
        transport, config = self._default_relay()
        # A full collection over all that is loaded by now takes 80 ms, often with SQLite's lock.
        gc.freeze()
        with self.sessions.begin() as session:
            point_default_at(session, transport.name, config.kind)
        return Sender(
            self.engine,
            self.sessions,
            self._open_relay,
            Composer(self.links, self.identity, self.dkim),
            worker=worker,
            now=now,
            jitter=random.random,
            pace=Pace(round_pause=self._round_pause()),
        )

    def _round_pause(self) -> timedelta:
        """On SQLite others wait for the same lock: let them in after every commit.

        On PostgreSQL a shorter pause lets more mails share the next round: 4 to 7 % more of them.
        """
        sqlite = self.engine.dialect.name == "sqlite"
        return timedelta(milliseconds=1 if sqlite else 0.5)

    def relay_config(self, row: RelayRow) -> RelayConfig:
        """Return how an added relay is reached; raises Refusal where its row is of no use."""
        password = self.sealer.open(row.sealed_password) if row.sealed_password else ""
        config = parse_relay_url(with_password(row.url, password))
        return replace(config, kind=RelayKind(row.kind))

    def _open_relay(self, row: RelayRow) -> Access:
        if row.name == DEFAULT_RELAY:
            return self._default_relay()
        config = self.relay_config(row)
        return Access(SmtpTransport(config, hello=self.identity.domain), config)

    def _default_relay(self) -> Access:
        if self.mailbox is not None:
            inbox = RelayConfig("inbox", 0, Security.NONE, connections=_INBOX_CONNECTIONS)
            return Access(InboxTransport(self.mailbox), inbox)
        assert self.settings.smtp_url is not None
        config = parse_relay_url(self.settings.smtp_url)
        return Access(SmtpTransport(config, hello=self.identity.domain), config)


@dataclass(frozen=True)
class InboxTransport:
    """The built-in inbox as a relay; where it listens is asked at every connection."""

    mailbox: Mailbox
    name: str = "inbox"

    async def connect(self) -> Connection:
        """Open a connection; raises ConnectFailed, also where the inbox is not running."""
        try:
            host, port = capture_address(self.mailbox.folder)
        except Refusal as refusal:
            raise ConnectFailed(Stage.CONNECT, str(refusal)) from None
        config = RelayConfig(host, port, Security.NONE)
        return await SmtpTransport(config, hello="mailer.invalid").connect()


def now() -> datetime:
    """The one place where the clock is read."""
    return datetime.now(UTC)


def broker_url() -> str:
    """Return where workers listen for rings; raises NoBroker where there is none."""
    settings = load()
    url = settings.redis_url or running_url(settings.home)
    if url is None:
        raise NoBroker(
            "No Redis is running: start everything with `mailer up`, or set MAILER_REDIS_URL. "
            "`mailer worker --until-idle` needs none."
        )
    return url


def worker_name(queue: str) -> str:
    """Return a name that no other worker process has."""
    return f"{queue}@{socket.gethostname()}:{os.getpid()}"


def initialise(settings: Settings) -> list[str]:
    """Make home, keys and tables; return the names of the keys that were made.

    Doing it again changes nothing. Raises WrongDatabaseVersion for an
    older database, which is left for `mailer db upgrade`.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = make_keys(settings.keys_dir, KEY_NAMES, settings.keys)
    except OSError as error:
        raise BadSetting(
            f"MAILER_HOME {settings.home} cannot be written to ({error.strerror}): "
            "choose another folder."
        ) from None
    create(settings.migration_url, role=service_role_of(settings))
    return made


def open_parts(settings: Settings | None = None) -> Parts:
    """Open everything; refuses a database of another version, and other keys than it knows."""
    log_to_stderr()
    settings = settings or load()
    missing = [name for name in KEY_NAMES if name not in settings.keys]
    if missing:
        raise NotInitialised(
            f"There is no installation in {settings.home} yet (no {missing[0]}): "
            "run `mailer init`, or set MAILER_HOME."
        )
    if settings.smtp_url:
        parse_relay_url(
            settings.smtp_url
        )  # a wrong one is told at the start, not at the first mail
    dkim = dkim_signer(settings)
    engine = open_engine(settings.database_url)
    refuse_wrong_version(engine)
    sessions = open_sessions(engine, vault_of(settings))
    _check_keys(sessions, settings)
    signing_keys = [key.strip().encode() for key in settings.keys["MAILER_SECRET_KEY"].split(",")]
    signer = TokenSigner(signing_keys)
    links = Links(settings.public_url, signer)
    # Message-IDs must outlive the rotation of the key that signs links.
    identity = MailIdentity(settings.mail_domain, settings.keys["MAILER_SUPPRESSION_KEY"].encode())
    return Parts(
        settings=settings,
        engine=engine,
        sessions=sessions,
        signer=signer,
        suppression_key=settings.keys["MAILER_SUPPRESSION_KEY"].encode(),
        sealer=Sealer(signing_keys),
        links=links,
        identity=identity,
        renderer=Renderer(links, identity, settings.home / "templates"),
        dkim=dkim,
        mailbox=None if settings.smtp_url else Mailbox(settings.inbox_dir),
        doorbell=Doorbell(settings.redis_url or running_url(settings.home)),
        fetch=partial(fetch, allow=settings.fetch_allow),
        images=ImageKeeper(sessions, partial(fetch_image, allow=settings.fetch_allow), now),
    )


def open_service(settings: Settings | None = None) -> Parts:
    """Open everything for a process that serves or sends; an old database is halted first."""
    parts = open_parts(settings)
    look_for_rollback(parts.sessions, parts.witness, now=parts.now())
    return parts


def service_role_of(settings: Settings) -> str | None:
    """Return PostgreSQL's role for the service, where it is another than the tables' owner."""
    return service_role(settings.database_url, settings.migration_url)


def vault_of(settings: Settings) -> Vault:
    """Return what seals and opens the evidence of consent."""
    keys = settings.keys.get("MAILER_EVIDENCE_KEY", "").split(",")
    return Vault([key.strip().encode() for key in keys if key.strip()])


def _check_keys(sessions: Sessions, settings: Settings) -> None:
    with reading(sessions) as session:  # verbs that only look wait for no writer
        if keys_are_known(session, settings.keys):
            return
    with sessions.begin() as session:
        remember_keys(session, settings.keys, now=now())
