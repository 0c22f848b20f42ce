"""Running services for a request: in a thread, in one transaction."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from mailer.store.engine import reading
from mailer.wiring import Parts

Work = Callable[[Parts, Session], Response]


async def in_transaction(request: Request, work: Work) -> Response:
    """Return what `work` answers; committed before a byte of the answer leaves."""
    parts: Parts = request.app.state.parts

    def transaction() -> Response:
        with parts.sessions.begin() as session:
            return work(parts, session)

    return await run_in_threadpool(transaction)


async def while_reading(request: Request, work: Work) -> Response:
    """Return what `work` answers, from a look that changes nothing and waits for no writer."""
    parts: Parts = request.app.state.parts

    def look() -> Response:
        with reading(parts.sessions) as session:
            return work(parts, session)

    return await run_in_threadpool(look)


def ringing(response: Response, parts: Parts) -> Response:
    """Ring the sender once the answer is on its way, so that nobody waits for Redis."""
    response.background = BackgroundTask(parts.doorbell.ring_send)
    return response
