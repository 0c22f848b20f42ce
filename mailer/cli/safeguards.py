"""Which security measures are really in place here, looked up and not promised."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url

from mailer.services.privacy.processing_record import Safeguard
from mailer.settings import KEY_NAMES, Settings


def safeguards(settings: Settings) -> list[Safeguard]:
    """Return each measure, whether it is in place, and how that is known."""
    return [_pages(settings), _keys(settings), *_database(settings), _witness(settings)]


def _pages(settings: Settings) -> Safeguard:
    https = urlsplit(settings.public_url).scheme == "https"
    return Safeguard("pages over TLS", https, f"MAILER_PUBLIC_URL is {settings.public_url}")


def _keys(settings: Settings) -> Safeguard:
    files = [path for name in KEY_NAMES if (path := settings.keys_dir / name.lower()).is_file()]
    if not files:
        return Safeguard("keys kept apart", True, "given by the environment or by files elsewhere")
    open_to_others = [path.name for path in files if _mode(path) & 0o077]
    if open_to_others:
        return Safeguard(
            "keys kept apart", False, f"others may read {', '.join(open_to_others)} in the home"
        )
    return Safeguard("keys kept apart", True, "files that their owner alone may read (mode 0600)")


def _database(settings: Settings) -> list[Safeguard]:
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite":
        file = Path(url.database or "")
        private = file.is_file() and not _mode(file) & 0o077
        return [
            Safeguard(
                "database for this service alone", private, "an SQLite file, mode 0600"
                if private else "an SQLite file that others on the machine may read",
            ),
            Safeguard(
                "deleted rows are overwritten", True, "SQLite's secure_delete"
            ),
        ]  # fmt: skip
    owner = make_url(settings.migration_url)
    apart = owner.username != url.username
    tls = url.query.get("sslmode") in ("require", "verify-ca", "verify-full")
    local = (url.host or "").startswith("/") or url.host in (None, "", "localhost", "127.0.0.1")
    return [
        Safeguard(
            "roles kept apart",
            apart,
            "the service's role does not own the tables"
            if apart
            else "the service's role owns the tables: set MAILER_MIGRATION_URL",
        ),
        Safeguard(
            "TLS to the database",
            tls or local,
            "this machine" if local else f"sslmode={url.query.get('sslmode', 'not set')}",
        ),
    ]


def _witness(settings: Settings) -> Safeguard:
    outside = not settings.witness_dir.resolve().is_relative_to(settings.home)
    return Safeguard(
        "journals outside of the database's backups",
        outside,
        "MAILER_WITNESS_DIR is outside of MAILER_HOME"
        if outside
        else "MAILER_WITNESS_DIR is inside of MAILER_HOME",
    )


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
