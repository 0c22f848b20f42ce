"""The images of mails. None changes under its name, so that nobody needs to ask twice."""

from __future__ import annotations

import re

from sqlalchemy.orm import Session, undefer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailer.store.models import StoredImage
from mailer.web.running import while_reading

_FILE = re.compile(r"([0-9a-f]{64})\.(jpg|png)")
_TYPES = {"jpg": "image/jpeg", "png": "image/png"}
_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


def routes() -> list[Route]:
    """Return the routes of this file."""
    return [Route("/img/{file}", show, methods=["GET"])]


async def show(request: Request) -> Response:
    """Answer with an image that a campaign shows, or may soon."""
    return await while_reading(request, lambda _, session: _show(session, request))


def _show(session: Session, request: Request) -> Response:
    named = _FILE.fullmatch(request.path_params["file"])
    if named is None:
        raise HTTPException(404)
    sha256, suffix = named.groups()
    tag = f'"{sha256}"'
    headers = {**_HEADERS, "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    image = session.get(StoredImage, sha256, options=[undefer(StoredImage.body)])
    if image is None or image.media_type != _TYPES[suffix]:
        raise HTTPException(404)
    return Response(image.body, media_type=image.media_type, headers=headers)
