"""The doorbell: whoever rings waits for nobody."""

from __future__ import annotations

import socket
import threading

import pytest

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


def _forget_connections(listening: socket.socket) -> None:
    """Take whatever has come until now."""
    try:
        while True:
            listening.accept()[0].close()
    except BlockingIOError:
        return
