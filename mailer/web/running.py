"""Running services for a request: in a thread, in one transaction."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from mailer.wiring import Parts


async def in_transaction(request: Request, work: Callable[[Parts, Session], Response]) -> Response:
    """Return what `work` answers; committed before a byte of the answer leaves."""
    parts: Parts = request.app.state.parts

    def transaction() -> Response:
        with parts.sessions.begin() as session:
            return work(parts, session)

    return await run_in_threadpool(transaction)
