"""The sender of a process: a line for every relay, on an event loop in a thread of its own.

It lives as long as its process. `wake` is a hint from outside; the database is asked anyway every
few seconds, for what is due and for which relays there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import datetime

import structlog
import uvloop
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.domain.relays import RelayUse
from mailer.domain.rounds import USUAL_PACE, Pace
from mailer.services.delivery.ledger_desk import LedgerDesk
from mailer.services.delivery.line import Access, Common, Line
from mailer.services.mails.composing import Composer
from mailer.store.engine import Sessions
from mailer.store.halting import halted_reason
from mailer.store.relays import RelayRow, default_relay, relay_rows

_log = structlog.get_logger()

OpenRelay = Callable[[RelayRow], Access]
"""Returns how a relay is reached; raises Refusal where its row says nothing that can be used."""

__all__ = ["Access", "OpenRelay", "Pace", "Sender"]


class Sender:
    """Sends whatever is due until it is stopped."""

    def __init__(
        self,
        engine: Engine,
        sessions: Sessions,
        open_relay: OpenRelay,
        composer: Composer,
        *,
        worker: str,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        pace: Pace = USUAL_PACE,
        desk: type[LedgerDesk] = LedgerDesk,
    ) -> None:
        self._open_relay = open_relay
        self._desk = desk(
            engine, sessions, lease=pace.lease, pause=pace.round_pause.total_seconds()
        )
        self._common = Common(self._desk, composer, worker, now, jitter, pace)
        self._lines: dict[Line, asyncio.Task[None]] = {}
        self._refused: set[object] = set()  # what was said already to be of no use
        self._loop = uvloop.new_event_loop()
        self._woken = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._counting = threading.Lock()
        self._attended = -1  # the last call at which all relays were known
        self.called = 0
        """How often `wake` was called."""
        self.stopping = False
        """Whether no gate may be passed any more."""
        self.idle = threading.Event()
        """Set while nothing that is due can be sent now."""

    def start(self) -> None:
        """Begin to send, in a thread of its own."""
        self._thread = threading.Thread(target=self._live, name="sender", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There may be work: look at once. Safe from any thread, and free when nothing is due."""
        with self._counting:
            self.called += 1
            self.idle.clear()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._look)

    def begin_stop(self) -> None:
        """Pass no more gates from now on; returns at once."""
        self.stopping = True
        self.wake()

    def stop(self) -> None:
        """Pass no more gates, finish what is past one, give the leases back; wait for all of it."""
        self.begin_stop()
        if self._thread is not None:
            self._thread.join(self._common.pace.drain.total_seconds() + 5)
        self._desk.close()

    # What lines need (`mailer.services.delivery.line.Host`)

    def line_works(self) -> None:
        """A line has taken something, or failed: what others saw before does not hold any more."""
        self.idle.clear()
        if len(self._lines) > 1:
            self.wake()

    def line_rests(self) -> None:
        """Rest where all lines do, and none has rested before it was last called."""
        with self._counting:
            rested = {self._attended, *(line.rested for line in self._lines)}
            if rested == {self.called}:
                self.idle.set()

    def _look(self) -> None:
        self._woken.set()
        for line in self._lines:
            line.wake()

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()

    async def _run(self) -> None:
        self._desk.open()
        while not self.stopping:
            self._woken.clear()
            await self._attend()
            with contextlib.suppress(TimeoutError):
                pause = self._common.pace.look_again.total_seconds()
                await asyncio.wait_for(self._woken.wait(), pause)
        await asyncio.gather(*self._lines.values(), return_exceptions=True)

    async def _attend(self) -> None:
        """Have a line for every relay as it is now, and none for what is gone or has changed."""
        called = self.called
        try:
            rows = await self._desk.run(self._relays)
        except SQLAlchemyError as error:
            _log.warning("database does not answer", reason=str(error).splitlines()[0])
            return
        except Exception:
            _log.exception("relays cannot be read")  # and the sender lives on
            return
        wanted = {_identity(row): row for row in rows}
        for line, task in list(self._lines.items()):
            row = wanted.pop(_identity(line.relay), None)
            if task.done():  # closed, or broken: then there is a new one at the next look
                del self._lines[line]
                if not task.cancelled() and task.exception() is not None:
                    _log.error("line broken", relay=line.relay.name, exc_info=task.exception())
            elif row is None:
                line.close()
            elif row.use == RelayUse.PAUSED:
                line.stand_down()
        for row in wanted.values():
            self._open(row)
        self._attended = called
        self.line_rests()

    def _relays(self, session: Session) -> list[RelayRow]:
        """Return the relays as they are now; while all is halted none of them is to be used."""
        default_relay(session)
        rows = relay_rows(session, now=self._common.now())
        if halted_reason(session) is None:
            return rows
        return [row._replace(use=RelayUse.PAUSED.value) for row in rows]

    def _open(self, row: RelayRow) -> None:
        try:
            access = self._open_relay(row)
        except Refusal as refusal:
            if _identity(row) not in self._refused:
                _log.error("relay cannot be used", relay=row.name, reason=str(refusal))
            self._refused.add(_identity(row))
            return
        line = Line(row, access, self._common, self)
        self._lines[line] = asyncio.create_task(line.live())


def _identity(row: RelayRow) -> tuple[object, ...]:
    """Return what makes a line another one when it changes."""
    return row.id, row.url, row.sealed_password, row.kind, row.warm_up_first
