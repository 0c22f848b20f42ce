"""What lives as long as a worker process: its parts, its sender, its sign of life."""

from __future__ import annotations

import signal
import threading
from typing import Any

import structlog
from celery.signals import (
    worker_process_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from sqlalchemy.exc import SQLAlchemyError

from mailer.doorbell import SEND_QUEUE
from mailer.embedded.leash import die_with_parent
from mailer.services.delivery.sending import Sender
from mailer.services.installation.alive import BEAT_EVERY, say_alive, say_gone
from mailer.wiring import Parts, open_parts, worker_name
from workers.due import retain_once, sweep_once, work_off

_log = structlog.get_logger()
_parts: Parts | None = None
_sender: Sender | None = None
_ended = threading.Event()
queue = ""
"""Which queue this process serves; set before the worker starts."""


def parts() -> Parts:
    """Return this process's parts; opened at first use, so never before a fork."""
    global _parts
    if _parts is None:
        _parts = open_parts()
    return _parts


def wake_sender() -> None:
    """Tell the sender that there may be work."""
    if _sender is not None:
        _sender.wake()


@worker_process_init.connect
def _forked(**_: Any) -> None:
    """A pool process uses no connection of its parent, and does not outlive it."""
    global _parts
    _parts = None
    die_with_parent(signal.SIGKILL)


@worker_ready.connect
def _begin(**_: Any) -> None:
    global _sender
    name = worker_name(queue)
    if queue == SEND_QUEUE:
        _sender = parts().sender(name)
        _sender.start()
    threading.Thread(target=_live, args=(name,), name="alive", daemon=True).start()


@worker_shutting_down.connect
def _begin_to_end(**_: Any) -> None:
    if _sender is not None:
        _sender.begin_stop()


@worker_shutdown.connect
def _end(**_: Any) -> None:
    _ended.set()
    if _sender is not None:
        _sender.stop()
    try:
        with parts().sessions.begin() as session:
            say_gone(session, worker_name(queue))
    except SQLAlchemyError as error:
        _log.warning("could not sign off", reason=str(error).splitlines()[0])


def _live(name: str) -> None:
    """Say that this process lives; where nobody can ring, look for what is due without a ring."""
    while not _ended.is_set():
        try:
            with parts().sessions.begin() as session:
                say_alive(session, name, queue, now=parts().now())
            if queue != SEND_QUEUE and not parts().doorbell.alive():
                sweep_once(parts())
                work_off(parts())
                retain_once(parts())
        except Exception as error:
            _log.warning("sign of life failed", reason=str(error).splitlines()[0])
        _ended.wait(BEAT_EVERY.total_seconds())
