"""A campaign in the browser: the very bytes that readers get, with the links to nobody."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mailer.store.models import Campaign, Variant
from mailer.web.running import while_reading
from mailer.wiring import Parts

_PUBLIC_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_HEADERS = {
    "Content-Security-Policy": (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
        "img-src 'self' https: http:; style-src 'unsafe-inline'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def routes() -> list[Route]:
    """Return the routes of this file."""
    return [Route("/a/{public_id}", show, methods=["GET"])]


async def show(request: Request) -> Response:
    """Show a campaign that has been sent, or is being sent."""
    return await while_reading(request, lambda parts, session: _show(parts, session, request))


def _show(parts: Parts, session: Session, request: Request) -> Response:
    public_id = request.path_params["public_id"]
    if not _PUBLIC_ID.fullmatch(public_id):
        raise HTTPException(404)
    campaign = session.scalar(select(Campaign).where(Campaign.public_id == public_id))
    if campaign is None or campaign.started_at is None:
        raise HTTPException(404)
    is_compiled = select(Variant.id).where(Variant.campaign_id == campaign.id).limit(1)
    if session.scalar(is_compiled) is None:
        raise HTTPException(404)
    values = parts.renderer.sample_values(
        email="reader@example.org", newsletter=campaign.newsletter, now=parts.now()
    )
    html = parts.renderer.sent_message(session, campaign).preview_html(values)
    return HTMLResponse(html, headers=_HEADERS)
