"""Rings workers by task name. The only place in `mailer/` that knows Celery.

A ring says "look, there may be work" and nothing else: it may be lost, repeated or late, for the
work stands in the database and the beat rings again. So ringing never fails its caller.
"""

from __future__ import annotations

import threading
import time

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

_log = structlog.get_logger()

WAKE_SENDER = "workers.tasks.wake"
TICK = "workers.tasks.tick"
SWEEP = "workers.tasks.sweep"
SEQUENCE = "workers.tasks.sequence"
DIGESTS = "workers.tasks.digests"
PREPARE = "workers.tasks.prepare"

SEND_QUEUE = "send"
WORK_QUEUE = "work"

_RING_EXPIRES_SECONDS = 30.0  # a ring that nobody heard in time is worth nothing
_SILENT_SECONDS = 5.0
_ROUTES = {
    WAKE_SENDER: {"queue": SEND_QUEUE},
    TICK: {"queue": WORK_QUEUE},
    SWEEP: {"queue": WORK_QUEUE},
    SEQUENCE: {"queue": WORK_QUEUE},
    DIGESTS: {"queue": WORK_QUEUE},
    PREPARE: {"queue": WORK_QUEUE},
}


def celery_app(redis_url: str) -> Celery:
    """Return the Celery application that ringers and workers share."""
    app = Celery("mailer", broker=redis_url, set_as_current=False)
    timeouts = {
        "visibility_timeout": 300,
        "unacked_restore_interval": 5,
        "socket_timeout": 5.0,
        "socket_connect_timeout": 2.0,
        "socket_keepalive": True,
    }
    app.conf.update(
        broker_transport_options=timeouts,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        task_routes=_ROUTES,
        task_default_queue=WORK_QUEUE,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        enable_utc=True,
        timezone="UTC",
    )
    return app


class Doorbell:
    """Rings over Redis; silent where none is running, and for a while where it does not answer.

    One ring at a time: where Redis is frozen, one thread waits for it, and not every sign-up.
    """

    def __init__(self, redis_url: str | None) -> None:
        self._app = celery_app(redis_url) if redis_url else None
        self._ringing = threading.Lock()
        self._silent_until = 0.0

    def ring_send(self) -> None:
        """There may be mails to send."""
        self._ring(WAKE_SENDER)

    def ring_tick(self) -> None:
        """Something may have come due."""
        self._ring(TICK)

    def ring_digests(self) -> None:
        """Digests are due."""
        self._ring(DIGESTS)

    def ring_prepare(self, campaign_id: int) -> None:
        """A campaign waits to be compiled and planned."""
        self._ring(PREPARE, campaign_id)

    def alive(self) -> bool:
        """Say whether Redis answers within two seconds."""
        if self._app is None:
            return False
        try:
            with self._app.connection_for_write(connect_timeout=2.0) as connection:
                connection.ensure_connection(max_retries=1, timeout=2)
        except (OperationalError, RedisError, OSError):
            return False
        return True

    def _ring(self, task: str, *arguments: int) -> None:
        if self._app is None or time.monotonic() < self._silent_until:
            return
        if not self._ringing.acquire(blocking=False):
            return
        try:
            self._app.send_task(
                task, args=arguments, expires=_RING_EXPIRES_SECONDS, retry=False, **_ROUTES[task]
            )
        except (OperationalError, RedisError, OSError) as error:
            self._silent_until = time.monotonic() + _SILENT_SECONDS
            _log.warning("doorbell silent", task=task, reason=str(error))
        finally:
            self._ringing.release()
