"""What `mailer doctor` says of relays: whether each takes us, and what stands against it.

Each is connected to as the sender does it: EHLO, STARTTLS with a verified certificate, login; then
QUIT. No mail is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from mailer.cli.doctor.findings import Finding
from mailer.domain.errors import Refusal
from mailer.domain.relays import RelayConfig, Security, parse_relay_url
from mailer.domain.replies import Stage
from mailer.settings import Settings
from mailer.transports import ConnectFailed
from mailer.transports.smtp import SmtpTransport
from mailer.transports.smtp_connection import Patience

_PATIENCE = Patience(connect=5.0, greeting=5.0, command=5.0, quit=1.0)
_LONGEST = 15.0
"""Seconds for one relay, however slowly it says each of its words."""


def relay_findings(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for the relay from the settings, and for every other one."""
    yield _inbox(settings) if settings.smtp_url is None else _default(settings)
    yield from _others(settings)


def _default(settings: Settings) -> Finding:
    try:
        config = parse_relay_url(settings.smtp_url or "")
    except Refusal as refusal:
        return Finding("relay", False, str(refusal))
    return _takes_us("relay", config, settings.mail_domain, "mend MAILER_SMTP_URL")


def _others(settings: Settings) -> Iterator[Finding]:
    from mailer.cli.doctor.dkim import without_wrong_dkim
    from mailer.store.engine import reading
    from mailer.store.relays import DEFAULT_RELAY, relay_rows
    from mailer.wiring import open_parts

    try:
        parts = open_parts(without_wrong_dkim(settings))
    except Refusal:
        return  # it has been said of the database
    with reading(parts.sessions) as session:
        rows = relay_rows(session, now=parts.now())
    for row in rows:
        check = "relay" if row.name == DEFAULT_RELAY else f"relay {row.name}"
        if row.left_alone and row.back_off_until is not None:
            until = row.back_off_until.isoformat(timespec="seconds")
            yield Finding(check, False, f"is left alone until {until}: {row.reason}")
        if row.name == DEFAULT_RELAY:
            continue
        try:
            config = parts.relay_config(row)
        except Refusal as refusal:
            yield Finding(check, False, str(refusal))
            continue
        otherwise = f"say `mailer relay remove {row.name}`"
        yield _takes_us(check, config, parts.identity.domain, otherwise)


def _takes_us(check: str, config: RelayConfig, hello: str, otherwise: str) -> Finding:
    try:
        return Finding(check, True, f"{config} {asyncio.run(_introduced(config, hello))}")
    except ConnectFailed as failure:
        if failure.stage is Stage.AUTH:
            words = f"{config} refuses the login of {config.user} ({failure.reason}): {otherwise}."
        else:
            words = f"{config} does not take us ({failure.reason}): start it, or {otherwise}."
    except TimeoutError:
        words = f"{config} takes more than {_LONGEST:.0f} s for a greeting: {otherwise}."
    return Finding(check, False, " ".join(words.split()))


async def _introduced(config: RelayConfig, hello: str) -> str:
    """Connect, secure and log in; return what came of it. Raises ConnectFailed, TimeoutError."""
    async with asyncio.timeout(_LONGEST):
        connection = await SmtpTransport(config, hello=hello, patience=_PATIENCE).connect()
        announced = ", ".join(connection.features) or "nothing"
        said = [f"answers and announces {announced}"]
        if connection.tls:
            said.append(f"speaks {connection.tls} with a certificate that is valid for it")
        elif config.security is Security.NONE:
            said.append("is spoken to without TLS")
        if config.user:
            said.append(f"accepts the login of {config.user}")
        await connection.close()
    return "; ".join(said)


def _inbox(settings: Settings) -> Finding:
    from mailer.transports.capture import capture_address

    try:
        host, port = capture_address(settings.inbox_dir)
        inbox = RelayConfig(host, port, Security.NONE)
        asyncio.run(_introduced(inbox, settings.mail_domain))
    except Refusal as refusal:
        return Finding("relay", False, str(refusal))
    except (ConnectFailed, TimeoutError) as error:
        return Finding("relay", False, f"the built-in inbox does not answer ({error}): restart it.")
    return Finding("relay", True, "none is set: mails go to the built-in inbox and reach nobody")
