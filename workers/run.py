"""Starting the processes: `send` on threads, `work` on prefork, and beat."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType

from celery import platforms
from celery.beat import Service

from mailer.doorbell import SEND_QUEUE, WORK_QUEUE

_QUIET = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")


def run_worker(queue: str) -> None:
    """Serve one queue until SIGTERM."""
    from workers import host
    from workers.app import app

    host.queue = queue
    pool, concurrency = {SEND_QUEUE: ("threads", "2"), WORK_QUEUE: ("prefork", "4")}[queue]
    app.worker_main(
        [
            "worker",
            *("--queues", queue),
            *("--pool", pool),
            *("--concurrency", concurrency),
            *("--hostname", f"{queue}@%h"),
            *_QUIET,
        ]
    )


def run_beat() -> None:
    """Ring for what has come due until SIGTERM; two of it do no harm, and it keeps nothing."""
    from celery.apps.beat import Beat

    from workers.app import app

    class EndingBeat(Beat):  # type: ignore[misc] # Celery has no types
        def install_sync_handler(self, service: Service) -> None:
            platforms.signals.update(SIGTERM=_ender(service), SIGINT=_ender(service))

    beat = EndingBeat(
        app=app,
        scheduler_cls="celery.beat:Scheduler",
        loglevel="WARNING",
        max_interval=1.0,
        quiet=True,
    )
    beat.run()


def _ender(service: Service) -> Callable[[int, FrameType | None], None]:
    """Return what a signal runs: it ends beat's loop, and whatever beat waits for.

    Celery's own only raises SystemExit. Python drops that where the signal comes while a
    finaliser runs, such as that of a Redis client after a ring, and beat would go on for ever.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        platforms.signals.ignore("SIGTERM", "SIGINT")  # setting the flag is not re-entrant
        service.stop()
        raise SystemExit

    return end
