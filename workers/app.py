"""The Celery application of this process, and what beat rings for."""

from __future__ import annotations

from mailer.doorbell import SEND_QUEUE, SEQUENCE, SWEEP, TICK, WAKE_SENDER, WORK_QUEUE, celery_app
from mailer.wiring import broker_url

TICK_EVERY = 2.0
WAKE_EVERY = 5.0
SWEEP_EVERY = 60.0
SEQUENCE_EVERY = 1.0

app = celery_app(broker_url())
app.conf.update(
    imports=("workers.tasks",),
    beat_schedule={
        "tick": {
            "task": TICK,
            "schedule": TICK_EVERY,
            "options": {"queue": WORK_QUEUE, "expires": 10.0},
        },
        "sweep": {
            "task": SWEEP,
            "schedule": SWEEP_EVERY,
            "options": {"queue": WORK_QUEUE, "expires": 60.0},
        },
        "sequence": {
            "task": SEQUENCE,
            "schedule": SEQUENCE_EVERY,
            "options": {"queue": WORK_QUEUE, "expires": 5.0},
        },
        "wake": {
            "task": WAKE_SENDER,
            "schedule": WAKE_EVERY,
            "options": {"queue": SEND_QUEUE, "expires": 10.0},
        },
    },
)
