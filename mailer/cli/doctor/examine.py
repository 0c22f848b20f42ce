"""What `mailer doctor` looks at; every finding says what to do."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mailer.cli.doctor.findings import Finding
from mailer.domain.errors import Refusal
from mailer.domain.urls import is_loopback
from mailer.settings import KEY_NAMES, Settings, load


def examine() -> Iterator[Finding]:
    """Yield a finding for everything that can be looked at; stops at settings that are wrong."""
    try:
        settings = load()
    except Refusal as refusal:
        yield Finding("settings", False, str(refusal))
        return
    yield Finding("settings", True, f"home is {settings.home}")
    yield _home(settings)
    yield _keys(settings)
    yield from _dkim(settings)
    yield from _database_and_workers(settings)
    yield _redis(settings)
    yield from _relays(settings)
    yield _public_url(settings)
    yield _templates(settings)
    yield _catalogues()


def _home(settings: Settings) -> Finding:
    home = settings.home
    if not home.is_dir():
        return Finding("home", False, f"{home} does not exist: run `mailer init`.")
    if not os.access(home, os.W_OK | os.X_OK):
        return Finding("home", False, f"{home} cannot be written: give it to this user.")
    if _mode(home) & 0o077:
        return Finding("home", False, f"others may look into {home}: run `chmod 700 {home}`.")
    return Finding("home", True, f"{home} is ours alone")


def _keys(settings: Settings) -> Finding:
    missing = [name for name in KEY_NAMES if name not in settings.keys]
    if missing:
        return Finding("keys", False, f"{', '.join(missing)} missing: run `mailer init`.")
    for name in KEY_NAMES:
        path = settings.keys_dir / name.lower()
        if path.is_file() and _mode(path) & 0o077:
            return Finding("keys", False, f"others may read {path}: run `chmod 600 {path}`.")
    return Finding("keys", True, "all four are there")


def _dkim(settings: Settings) -> Iterator[Finding]:
    from mailer.cli.doctor.dkim import dkim_findings

    return dkim_findings(settings)


def _database_and_workers(settings: Settings) -> Iterator[Finding]:
    from mailer.cli.doctor.dkim import alignment_finding, without_wrong_dkim
    from mailer.cli.doctor.dns import dns_findings
    from mailer.cli.doctor.witness import checkpoint_finding, witness_findings
    from mailer.services.articles.feeds import broken_feeds
    from mailer.services.campaigns.gate import held_campaigns
    from mailer.services.installation.alive import alive_workers
    from mailer.services.newsletters.alignment import sender_domains
    from mailer.store.engine import reading
    from mailer.wiring import open_parts

    try:
        parts = open_parts(without_wrong_dkim(settings))
    except Refusal as refusal:
        yield Finding("database", False, str(refusal))
        return
    where = parts.engine.url.render_as_string(hide_password=True)
    yield Finding("database", True, f"{where} has this version's tables and knows these keys")
    with reading(parts.sessions) as session:
        queues = {worker.queue for worker in alive_workers(session, now=parts.now())}
        aligned = alignment_finding(session, parts.dkim.domain) if parts.dkim else None
        domains = sender_domains(session)
        protection = [
            *witness_findings(session, settings),
            checkpoint_finding(session, parts.notary, now=parts.now()),
        ]
        broken = broken_feeds(session, now=parts.now())
        held = held_campaigns(session)
    if queues:
        yield Finding("workers", True, f"alive: {', '.join(sorted(queues))}")
    else:
        advice = "none is alive: run `mailer up`, or `mailer worker --queue all`."
        yield Finding("workers", False, advice)
    yield from protection
    yield _feeds(broken)
    yield _held(held)
    if aligned is not None:
        yield aligned
    yield from dns_findings(domains, parts.dkim)


def _feeds(broken: list[dict[str, Any]]) -> Finding:
    """Say which feeds have failed for a day; others' feeds are no fault of the installation."""
    if not broken:
        return Finding("feeds", True, "none has failed for long")
    named = "; ".join(
        f"{feed['location']} (since {feed['failing_since']:%Y-%m-%d}): {feed['last_error']}"
        for feed in broken
    )
    return Finding(
        "feeds", True, f"broken for a day or more: {named} Mend, or `mailer feed remove`.",
        warns=True,
    )  # fmt: skip


def _held(campaigns: list[tuple[int, str]]) -> Finding:
    """Say which campaigns wait for a person before their first mail."""
    if not campaigns:
        return Finding("campaigns", True, "none is held before its first mail")
    named = "; ".join(f"campaign {number}: {reason}" for number, reason in campaigns)
    return Finding("campaigns", True, f"held before the first mail: {named}", warns=True)


def _redis(settings: Settings) -> Finding:
    import redis

    if settings.redis_url is None:
        return Finding("redis", True, "none is set: `mailer up` brings its own Valkey")
    url = settings.redis_url.replace("redis+socket://", "unix://", 1)
    client = redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0)
    try:
        client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        advice = f"does not answer ({error}): start it, or mend MAILER_REDIS_URL."
        return Finding("redis", False, advice)
    finally:
        client.close()
    return Finding("redis", True, "answers")


def _relays(settings: Settings) -> Iterator[Finding]:
    from mailer.cli.doctor.relays import relay_findings

    return relay_findings(settings)


def _public_url(settings: Settings) -> Finding:
    parts = urlsplit(settings.public_url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        return Finding(
            "public URL",
            False,
            f"{settings.public_url} is not https: one-click leaving needs it (RFC 8058).",
        )
    return Finding("public URL", True, settings.public_url)


def _templates(settings: Settings) -> Finding:
    from mailer.services.mails.own_templates import list_templates, template_faults

    folder = settings.home / "templates"
    own = [template.name for template in list_templates(folder) if template.own]
    if not own and not (folder / "_layout").is_dir():
        return Finding("templates", True, "none of your own")
    fault = next(template_faults(folder, ("en",)), None)
    if fault is not None:
        return Finding("templates", False, f"{fault.says} See `mailer template check`.")
    return Finding("templates", True, f"your own can be rendered: {', '.join(own) or '_layout'}")


def _catalogues() -> Finding:
    from mailer.locales import LANGUAGES, faults

    behind = sorted({fault.language for fault in faults()})
    if behind:
        says = f"not everything is translated: {', '.join(behind)}. See `mailer template check`."
        return Finding("languages", True, says, warns=True)
    return Finding("languages", True, f"complete: {', '.join(LANGUAGES)}")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
