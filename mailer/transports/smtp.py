"""SMTP to a relay, by hand: the gate must stand between 354 and the first byte.

Here connections are opened, secured (STARTTLS, RFC 3207; TLS is verified and fails closed) and
logged in; `smtp_connection` leads the conversation.
"""

from __future__ import annotations

import asyncio
import ssl

from mailer.domain.relays import RelayConfig, Security
from mailer.domain.replies import Stage
from mailer.transports.base import ConnectFailed
from mailer.transports.smtp_connection import USUAL_PATIENCE, Patience, SmtpConnection, require
from mailer.transports.wire import Wire, WireBroken


class SmtpTransport:
    """One relay that we submit to."""

    def __init__(
        self,
        config: RelayConfig,
        *,
        hello: str,
        tls: ssl.SSLContext | None = None,
        patience: Patience = USUAL_PATIENCE,
    ) -> None:
        self._config = config
        self._hello = hello
        self._tls = tls or ssl.create_default_context()
        self._patience = patience

    @property
    def name(self) -> str:
        """The relay's host and port."""
        return str(self._config)

    async def connect(self) -> SmtpConnection:
        """Open a connection, secure it, and log in; raises ConnectFailed."""
        wire = await self._open()
        connection = SmtpConnection(wire, self._patience)
        try:
            greeting = await wire.reply(timeout=self._patience.greeting)
            require(greeting, 220, Stage.CONNECT)
            await connection.hello(self._hello)
            if self._config.security is Security.STARTTLS:
                await self._secure(wire, connection)
            if self._config.user:
                await connection.log_in(self._config.user, self._config.password)
        except ConnectFailed:
            wire.abort("not used")
            raise
        except (WireBroken, OSError, TimeoutError) as error:
            wire.abort("not used")
            raise ConnectFailed(Stage.CONNECT, str(error) or "no answer") from None
        return connection

    async def _open(self) -> Wire:
        implicit = self._config.security is Security.IMPLICIT
        try:
            async with asyncio.timeout(self._patience.connect):
                _, wire = await asyncio.get_running_loop().create_connection(
                    Wire,
                    self._config.host,
                    self._config.port,
                    ssl=self._tls if implicit else None,
                    server_hostname=self._config.host if implicit else None,
                )
        except TimeoutError:
            raise ConnectFailed(Stage.CONNECT, "no connection in time") from None
        except (OSError, ValueError) as error:  # ValueError: a host that no name server knows
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise ConnectFailed(Stage.CONNECT, f"no connection: {reason}") from None
        return wire

    async def _secure(self, wire: Wire, connection: SmtpConnection) -> None:
        if "STARTTLS" not in connection.features:
            raise ConnectFailed(
                Stage.CONNECT, "the relay offers no STARTTLS, and tls=required forbids going on"
            )
        reply = await connection.command("STARTTLS")
        require(reply, 220, Stage.CONNECT)
        await wire.start_tls(self._tls, self._config.host, timeout=self._patience.connect)
        await connection.hello(self._hello)
