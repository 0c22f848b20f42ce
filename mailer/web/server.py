"""Serving the application with uvicorn."""

from __future__ import annotations

import signal
import sys

import uvicorn

from mailer.web.app import create_app
from mailer.wiring import Parts


def serve(parts: Parts) -> None:
    """Serve until SIGTERM or SIGINT; requests that have begun are answered."""
    # After its shutdown uvicorn raises the signal once more: asked to end, we have ended well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        create_app(parts),
        host=parts.settings.bind_host,
        port=parts.settings.bind_port,
        loop="uvloop",
        access_log=False,  # paths hold tokens
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )
