"""Whether a port can be listened on."""

from __future__ import annotations

import errno
import socket

from mailer.domain.errors import Refusal


class PortInUse(Refusal):
    """Something else listens there already, or nobody may."""


def refuse_taken_port(host: str, port: int) -> None:
    """Raise PortInUse with one sentence where nothing of ours could listen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"Port {port} on {host} is in use: stop what listens there, or set MAILER_BIND "
                    f"to another port, such as {host}:{port + 1 if port < 65535 else 8000}."
                ) from None
            raise PortInUse(
                f"Nothing can listen on {host}:{port} ({error.strerror}): mend MAILER_BIND."
            ) from None


def free_port(host: str) -> int:
    """Return a port that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
