"""Starting the processes: `send` on threads, `work` on prefork, and beat."""

from __future__ import annotations

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
    """Ring for what has come due; two of it do no harm, and it keeps nothing."""
    from workers.app import app

    beat = app.Beat(
        scheduler_cls="celery.beat:Scheduler", loglevel="WARNING", max_interval=1.0, quiet=True
    )
    beat.run()
