"""A reader's own requests: a copy of everything, or the end of everything.

`/p/{token}/…` takes the wish and sends a mail; `/d/{token}` and `/e/{token}` stand in that mail.
GET and HEAD change nothing; POST does.
"""

from __future__ import annotations

from sqlalchemy.orm import Session
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailer.rendering.documents import personal_data_html
from mailer.services.privacy.erasing import clean_up
from mailer.services.privacy.personal_data import as_json, reading_habits
from mailer.services.privacy.rights import (
    LinkState,
    Wish,
    WishPage,
    WishTaken,
    fulfil_erasure,
    fulfil_export,
    open_wish,
    take_wish,
)
from mailer.web.pages import TOKEN_HEADERS, not_our_link, page
from mailer.web.requests import read_form, text
from mailer.web.running import in_transaction, ringing, while_reading
from mailer.wiring import Parts

_MEDIA_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8"}
_DOCUMENT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'"


def routes() -> list[Route]:
    """Return the routes of this file."""
    return [
        Route("/p/{token}/{wish}", press_wish, methods=["POST"]),
        Route("/d/{token}", show_export, methods=["GET"]),
        Route("/d/{token}", press_export, methods=["POST"]),
        Route("/e/{token}", show_erase, methods=["GET"]),
        Route("/e/{token}", press_erase, methods=["POST"]),
    ]


async def press_wish(request: Request) -> Response:
    """Take a wish from the preference page, and send the mail that fulfils it."""
    try:
        wish = Wish(request.path_params["wish"])
    except ValueError:
        raise HTTPException(404) from None
    response = await in_transaction(
        request,
        lambda parts, session: _taken_page(
            request,
            take_wish(
                session, parts.signer, _token(request), wish,
                renderer=parts.renderer, now=parts.now(),
            )
        ),
    )  # fmt: skip
    return ringing(response, request.app.state.parts)


async def show_export(request: Request) -> Response:
    """Show the buttons that download."""
    return await while_reading(
        request,
        lambda parts, session: _page(
            request, "export.html", _open(parts, session, request, Wish.EXPORT)
        ),
    )


async def press_export(request: Request) -> Response:
    """Give the reader everything about them, as a page to read or as JSON."""
    form = text(await read_form(request), "form")
    if form not in _MEDIA_TYPES:
        raise HTTPException(400)
    return await in_transaction(
        request, lambda parts, session: _export(parts, session, request, form)
    )


async def show_erase(request: Request) -> Response:
    """Show the button that deletes."""
    return await while_reading(
        request,
        lambda parts, session: _page(
            request, "erase.html", _open(parts, session, request, Wish.ERASE)
        ),
    )


async def press_erase(request: Request) -> Response:
    """Delete the reader; pressing again says that it is done.

    What is not in rows follows when the answer is on its way: it may have to wait for others.
    """

    def answer(parts: Parts, session: Session) -> Response:
        found, erased = fulfil_erasure(session, parts.signer, _token(request), now=parts.now())
        response = _page(request, "erase.html", found)
        if erased is not None:
            response.background = BackgroundTask(
                clean_up, parts.sessions, parts.places, erased, now=parts.now
            )
        return response

    return await in_transaction(request, answer)


def _token(request: Request) -> str:
    return str(request.path_params["token"])


def _open(parts: Parts, session: Session, request: Request, wish: Wish) -> WishPage | None:
    return open_wish(session, parts.signer, _token(request), wish, now=parts.now())


def _export(parts: Parts, session: Session, request: Request, form: str) -> Response:
    found = _open(parts, session, request, Wish.EXPORT)
    if found is None or found.state is not LinkState.OPEN:
        return _page(request, "export.html", found)
    document = fulfil_export(session, found, form, parts.practice, now=parts.now())
    if form == "json":
        content = as_json(document)
    else:
        locale, timezone = reading_habits(session, document)
        content = personal_data_html(document, locale=locale, timezone=timezone)
    name = f"personal-data-{document['made_at']:%Y-%m-%d}.{form}"
    headers = {
        **TOKEN_HEADERS,
        "Content-Security-Policy": _DOCUMENT_POLICY,
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return Response(content, headers=headers, media_type=_MEDIA_TYPES[form])


def _taken_page(request: Request, taken: WishTaken | None) -> Response:
    if taken is None:
        return not_our_link(request)
    return page("wish_taken.html", token=True, locale=taken.newsletter.locale, page=taken)


def _page(request: Request, template: str, found: WishPage | None) -> Response:
    if found is None:
        return not_our_link(request)
    status = 410 if found.state is LinkState.RUN_OUT else 200
    locale = found.newsletter.locale
    return page(template, status=status, token=True, locale=locale, page=found)
