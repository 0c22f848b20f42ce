"""The built-in inbox: what the listener has caught, for the eyes of this machine alone."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from mailer.transports.capture import CaughtMail, Mailbox
from mailer.web.pages import PAGE_HEADERS, page, preferred_locale
from mailer.web.requests import is_local
from mailer.wiring import Parts

_SHOWN = 200
_FRAME_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "img-src 'self' https: http: data:; style-src 'unsafe-inline'"
)


def routes() -> list[Route]:
    """Return the routes of this file."""
    return [
        Route("/inbox", show_list, methods=["GET"]),
        Route("/inbox", clear, methods=["POST"]),
        Route("/inbox/{mail_id}", show_mail, methods=["GET"]),
        Route("/inbox/{mail_id}/html", show_html, methods=["GET"]),
        Route("/inbox/{mail_id}/raw", show_raw, methods=["GET"]),
    ]


def shown_mailbox(request: Request) -> Mailbox | None:
    """Return the inbox where it may be shown: to this machine, by an installation for it alone.

    A reverse proxy on this machine asks from loopback too, and often by that name; so the public
    address must be loopback as well, and nobody may have passed the request on.
    """
    parts: Parts = request.app.state.parts
    passed_on = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "via"))
    if not parts.settings.serves_loopback_alone or passed_on or not is_local(request):
        return None
    return parts.mailbox


async def show_list(request: Request) -> Response:
    """Show what has come, newest first; `?to=` shows one reader's."""
    mailbox = _mailbox(request)
    wanted = request.query_params.get("to", "").strip().lower()[:200]
    mails = await run_in_threadpool(mailbox.latest, _SHOWN)
    shown = [mail for mail in mails if wanted in mail.to.lower()]
    return _page(request, "inbox.html", mails=shown, total=len(mailbox.ids()), wanted=wanted)


async def show_mail(request: Request) -> Response:
    """Show one mail: its HTML in a frame, its text, its headers."""
    mail = await _mail(request)
    response = _page(
        request, "mail.html", mail=mail, html=mail.part("html"), text=mail.part("plain")
    )
    response.headers["Content-Security-Policy"] += "; frame-src 'self'"
    return response


async def show_html(request: Request) -> Response:
    """The mail's HTML, in a frame that runs nothing; its links open in a new tab."""
    mail = await _mail(request)
    html = mail.part("html").replace("<head>", '<head><base target="_blank">', 1)
    headers = {**PAGE_HEADERS, "Content-Security-Policy": _FRAME_POLICY}
    return HTMLResponse(html, headers=headers)


async def show_raw(request: Request) -> Response:
    """The mail as it came over the wire."""
    return PlainTextResponse((await _mail(request)).raw, headers=PAGE_HEADERS)


async def clear(request: Request) -> Response:
    """Delete everything; only from the inbox's own page."""
    mailbox = _mailbox(request)
    origin = request.headers.get("origin")
    if origin != f"{request.url.scheme}://{request.url.netloc}":
        raise HTTPException(400)
    await run_in_threadpool(mailbox.clear)
    return RedirectResponse("/inbox", 303)


def _page(request: Request, template: str, **context: Any) -> Response:
    response = page(template, token=True, locale=preferred_locale(request), **context)
    response.headers["Referrer-Policy"] = "same-origin"  # so that its own form has an origin
    return response


def _mailbox(request: Request) -> Mailbox:
    mailbox = shown_mailbox(request)
    if mailbox is None:
        raise HTTPException(404)
    return mailbox


async def _mail(request: Request) -> CaughtMail:
    mailbox = _mailbox(request)
    mail = await run_in_threadpool(mailbox.get, request.path_params["mail_id"])
    if mail is None:
        raise HTTPException(404)
    return mail
