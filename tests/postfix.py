"""A real Postfix of our own, on loopback, that relays everything to a sink."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import until

from mailer.embedded.leash import leashed

DAEMONS = Path("/usr/lib/postfix/sbin")

_MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
daemon_directory = {daemons}
maillog_file = {home}/mail.log
maillog_file_prefixes = {home}
myhostname = relay.test
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
mydestination =
alias_maps =
alias_database =
smtpd_relay_restrictions = permit_mynetworks, reject
default_transport = smtp:[127.0.0.1]:{sink}
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Postfix:
    """A running Postfix."""

    port: int
    log: Path

    def speak(self) -> None:
        """Let it write something into its log."""
        with smtplib.SMTP("127.0.0.1", self.port) as client:
            client.noop()


def missing() -> str:
    """Say what is missing to run a Postfix here; nothing is where it can be run."""
    if not (DAEMONS / "master").exists() or shutil.which("postfix") is None:
        return "no Postfix on this machine: `make system` installs it when root"
    return "" if os.geteuid() == 0 else "only root can run a Postfix"


@contextmanager
def running_postfix(sink: int) -> Iterator[Postfix]:
    """Run a Postfix that delivers to the sink at this port."""
    with tempfile.TemporaryDirectory(prefix="postfix-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # its daemons are another user
        for name in ("etc", "queue", "data"):
            (home / name).mkdir()
        shutil.chown(home / "data", pwd.getpwnam("postfix").pw_uid)
        port = _free_port()
        settings = {"home": home, "daemons": DAEMONS, "sink": sink, "port": port}
        (home / "etc" / "main.cf").write_text(_MAIN.format(**settings))
        (home / "etc" / "master.cf").write_text(_MASTER.format(**settings))
        subprocess.run(["postfix", "-c", home / "etc", "check"], check=True, capture_output=True)
        log = home / "mail.log"
        master = subprocess.Popen(
            [DAEMONS / "master", "-c", home / "etc", "-d"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=leashed(signal.SIGTERM),
        )  # fmt: skip
        try:
            until(lambda: log.exists() and b"daemon started" in log.read_bytes(), "Postfix")
            yield Postfix(port, log)
        finally:
            master.terminate()
            master.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
