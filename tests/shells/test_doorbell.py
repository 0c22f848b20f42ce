"""The doorbell: whoever rings waits for nobody."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from processes import WITHIN, clean_environment

from mailer.doorbell import Doorbell


def test_a_frozen_redis_costs_a_sign_up_nothing() -> None:
    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen(50)
        frozen.settimeout(60)
        doorbell = Doorbell(f"redis://127.0.0.1:{frozen.getsockname()[1]}/0")
        first = threading.Thread(target=doorbell.ring_send)
        first.start()
        connection, _ = frozen.accept()  # from now on the first one waits for its answer
        for _ in range(20):
            doorbell.ring_send()
        assert first.is_alive(), "the others went on while it waited"
        first.join()
        connection.close()
        frozen.settimeout(0)
        _forget_connections(frozen)
        doorbell.ring_send()
        with pytest.raises(BlockingIOError):
            frozen.accept()  # nobody asks a Redis that did not answer a moment ago


SIGNALLED_IN_A_FINALISER = """
import os, signal
from celery.signals import beat_init
from workers.run import run_beat

class Finalised:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass  # the handler runs in here, and what it raises goes nowhere

beat_init.connect(lambda **_: Finalised() and None, weak=False)
run_beat()
"""


def test_a_signal_ends_beat_even_where_python_drops_what_its_handler_raises(
    tmp_path: Path,
) -> None:
    environment = clean_environment(
        MAILER_HOME=str(tmp_path), MAILER_REDIS_URL="redis://127.0.0.1:1/0"
    )
    ended = subprocess.run(
        [sys.executable, "-c", SIGNALLED_IN_A_FINALISER],
        env=environment, capture_output=True, text=True, timeout=WITHIN, check=True,
    )  # fmt: skip
    assert "Exception ignored in" in ended.stderr


def _forget_connections(listening: socket.socket) -> None:
    """Take whatever has come until now."""
    try:
        while True:
            listening.accept()[0].close()
    except BlockingIOError:
        return
