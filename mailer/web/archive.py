"""A campaign in the browser: the very bytes that readers get, with the links to nobody."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mailer.domain.campaigns import CampaignState
from mailer.rendering import CompiledMessage
from mailer.store.models import Campaign, Variant
from mailer.web.running import in_transaction
from mailer.wiring import Parts

_NOT_PUBLIC = (CampaignState.DRAFT, CampaignState.SCHEDULED, CampaignState.PREPARING)
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
    return await in_transaction(request, lambda parts, session: _show(parts, session, request))


def _show(parts: Parts, session: Session, request: Request) -> Response:
    campaign = session.scalar(
        select(Campaign).where(Campaign.public_id == request.path_params["public_id"])
    )
    if campaign is None or campaign.state in _NOT_PUBLIC:
        raise HTTPException(404)
    variant = session.scalar(select(Variant).where(Variant.campaign_id == campaign.id).limit(1))
    if variant is None:
        raise HTTPException(404)
    values = parts.renderer.sample_values(email="reader@example.org", now=parts.now())
    html = CompiledMessage.from_json(variant.compiled).preview_html(values)
    return HTMLResponse(html, headers=_HEADERS)
