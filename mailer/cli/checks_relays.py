"""What `mailer doctor` says of relays: whether each answers, and what stands against it."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator

from mailer.cli.checks import Finding
from mailer.domain.errors import Refusal
from mailer.domain.relays import RelayConfig, Security, parse_relay_url
from mailer.settings import Settings

_TIMEOUT_SECONDS = 5.0


def relay_findings(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for the relay from the settings, and for every other one."""
    yield _inbox(settings) if settings.smtp_url is None else _default(settings.smtp_url)
    yield from _others(settings)


def _default(url: str) -> Finding:
    try:
        config = parse_relay_url(url)
    except Refusal as refusal:
        return Finding("relay", False, str(refusal))
    return _answers("relay", config, "mend MAILER_SMTP_URL")


def _others(settings: Settings) -> Iterator[Finding]:
    from mailer.cli.checks_dkim import without_wrong_dkim
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
        yield _answers(check, config, f"say `mailer relay remove {row.name}`")


def _answers(check: str, config: RelayConfig, otherwise: str) -> Finding:
    host, port = config.host, config.port
    try:
        if config.security is Security.IMPLICIT:
            context = ssl.create_default_context()
            with smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT_SECONDS, context=context) as relay:
                relay.noop()
        else:
            with smtplib.SMTP(host, port, timeout=_TIMEOUT_SECONDS) as relay:
                relay.noop()
    except (OSError, ValueError, smtplib.SMTPException) as error:
        words = f"{config} does not answer as a mail server ({error}): start it, or {otherwise}."
        return Finding(check, False, words)
    return Finding(check, True, f"{config} answers")


def _inbox(settings: Settings) -> Finding:
    from mailer.transports.capture import capture_address

    try:
        host, port = capture_address(settings.inbox_dir)
        with smtplib.SMTP(host, port, timeout=_TIMEOUT_SECONDS) as inbox:
            inbox.noop()
    except Refusal as refusal:
        return Finding("relay", False, str(refusal))
    except (OSError, smtplib.SMTPException) as error:
        return Finding("relay", False, f"the built-in inbox does not answer ({error}): restart it.")
    return Finding("relay", True, "none is set: mails go to the built-in inbox and reach nobody")
