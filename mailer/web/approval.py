"""An editor's buttons: `/r/{token}` shows what would go, and takes a yes or a no.

GET and HEAD change nothing, so that a link scanner presses nothing; POST does.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.orm import Session
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mailer.domain.approvals import Verdict
from mailer.domain.schedule import zone
from mailer.services.campaigns.gate import faults
from mailer.services.digests.approvals import ApprovalPage, decide_by_mail, open_approval
from mailer.services.mails.previewing import preview
from mailer.web.pages import TOKEN_HEADERS, not_our_link, page
from mailer.web.requests import read_form, text
from mailer.web.running import in_transaction, while_reading
from mailer.wiring import Parts

_MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "img-src 'self' https: http:; style-src 'unsafe-inline'"
)
_CHOICES = (Verdict.APPROVED, Verdict.STOPPED)


def routes() -> list[Route]:
    """Return the routes of this file."""
    return [
        Route("/r/{token}", show, methods=["GET"]),
        Route("/r/{token}", press, methods=["POST"]),
        Route("/r/{token}/mail", show_mail, methods=["GET"]),
    ]


async def show(request: Request) -> Response:
    """Show what waits, why it would be held, and the buttons."""
    return await while_reading(
        request, lambda parts, session: _page(request, _judged(parts, session, request))
    )


async def show_mail(request: Request) -> Response:
    """Show the mail as readers would get it, with links that lead nowhere."""

    def answer(parts: Parts, session: Session) -> Response:
        found = _open(parts, session, request)
        if found is None:
            return not_our_link(request)
        html = preview(session, found.campaign, parts.renderer, now=parts.now()).html
        return HTMLResponse(
            html, headers={**TOKEN_HEADERS, "Content-Security-Policy": _MAIL_POLICY}
        )

    return await while_reading(request, answer)


async def press(request: Request) -> Response:
    """Take the editor's word; the first one stands. What would be held cannot be approved here."""
    pressed = text(await read_form(request), "decision")
    if pressed not in _CHOICES:
        raise HTTPException(400)
    decision = Verdict(pressed)

    def look(parts: Parts, session: Session) -> Response:
        found = _judged(parts, session, request)
        return _page(request, found) if found and found.refused else Response(status_code=204)

    if decision is Verdict.APPROVED:  # compiled before anything is written: it takes its time
        looked = await while_reading(request, look)
        if looked.status_code != 204:
            return looked

    def answer(parts: Parts, session: Session) -> Response:
        found = decide_by_mail(session, parts.signer, _token(request), decision, now=parts.now())
        response = _page(request, found)
        if found is not None and found.approval.decision == Verdict.APPROVED:
            response.background = BackgroundTask(parts.doorbell.ring_prepare, found.campaign.id)
        return response

    return await in_transaction(request, answer)


def _token(request: Request) -> str:
    return str(request.path_params["token"])


def _open(parts: Parts, session: Session, request: Request) -> ApprovalPage | None:
    return open_approval(session, parts.signer, _token(request), now=parts.now())


def _judged(parts: Parts, session: Session, request: Request) -> ApprovalPage | None:
    """Return what is asked, and for what the mail would be held after a yes."""
    found = _open(parts, session, request)
    if found is None or not found.is_open:
        return found
    wrong = faults(session, found.campaign, renderer=parts.renderer, now=parts.now())
    return replace(found, refused=wrong)


def _page(request: Request, found: ApprovalPage | None) -> Response:
    if found is None:
        return not_our_link(request)
    newsletter = found.campaign.newsletter
    stop_first = "stop" in request.query_params
    return page(
        "approval.html",
        status=410 if found.ran_out else 200,
        token=True,
        locale=newsletter.locale,
        page=found,
        until=found.approval.until.astimezone(zone(newsletter.timezone)).strftime("%Y-%m-%d %H:%M"),
        mail_url=f"/r/{_token(request)}/mail",
        stop_first=stop_first,
        decisions=[each.value for each in (reversed(_CHOICES) if stop_first else _CHOICES)],
    )
