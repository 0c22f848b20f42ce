"""The web application: all routes, and what starts and ends with the process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mailer.services.newsletters.newsletters import list_newsletters
from mailer.transports.capture import CaptureListener
from mailer.web import approval, archive, consent, health, images, inbox, rights, signup
from mailer.web.pages import error_page, page, pages_folder, preferred_locale
from mailer.web.running import while_reading
from mailer.wiring import Parts


def create_app(parts: Parts) -> Starlette:
    """Return the application; with no relay set it also listens for the built-in inbox."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        listener = CaptureListener(parts.mailbox) if parts.mailbox else None
        if listener is not None:
            await listener.start()
        try:
            yield
        finally:
            if listener is not None:
                await listener.stop()

    handlers: Any = {HTTPException: error_page, Exception: error_page}
    app = Starlette(
        routes=[
            Route("/", home, methods=["GET"]),
            *signup.routes(),
            *consent.routes(),
            *rights.routes(),
            *approval.routes(),
            *archive.routes(),
            *images.routes(),
            *inbox.routes(),
            *health.routes(),
            Mount("/static", StaticFiles(directory=pages_folder() / "static")),
        ],
        exception_handlers=handlers,
        lifespan=lifespan,
    )
    app.state.parts = parts
    return app


async def home(request: Request) -> Response:
    """List the newsletters."""

    def answer(parts: Parts, session: Session) -> Response:
        shows_inbox = inbox.shown_mailbox(request) is not None
        return page(
            "home.html",
            locale=preferred_locale(request),
            newsletters=list_newsletters(session),
            shows_inbox=shows_inbox,
        )

    return await while_reading(request, answer)
