"""The doorbell: whoever rings waits for nobody."""

from __future__ import annotations

import socket
import threading
import time

from mailer.doorbell import Doorbell


def test_a_frozen_redis_costs_a_sign_up_nothing() -> None:
    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen(50)
        doorbell = Doorbell(f"redis://127.0.0.1:{frozen.getsockname()[1]}/0")
        ringers = [threading.Thread(target=doorbell.ring_send) for _ in range(20)]
        for ringer in ringers:
            ringer.start()
        time.sleep(0.5)
        assert sum(ringer.is_alive() for ringer in ringers) == 1
        for ringer in ringers:
            ringer.join()
        began = time.monotonic()
        doorbell.ring_send()
        assert time.monotonic() - began < 0.5
