"""What a request says: form fields within limits, where it came from, and who asks."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from mailer.domain.consent import Method
from mailer.domain.errors import Refusal
from mailer.domain.urls import is_loopback
from mailer.services.newsletters.newsletters import locale_code
from mailer.settings import Settings
from mailer.store.consents import Evidence

_LARGEST_FORM = 65_536
_MOST_FIELDS = 100


async def read_form(request: Request) -> FormData:
    """Return the fields of a urlencoded or multipart form; 413 where it is too large."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > _LARGEST_FORM:
        raise HTTPException(413)
    received = 0
    body = b""
    async for chunk in request.stream():
        received += len(chunk)
        if received > _LARGEST_FORM:
            raise HTTPException(413)
        body += chunk
    replay = Request(request.scope, _once(body))
    try:
        return await replay.form(max_files=0, max_fields=_MOST_FIELDS)
    except (HTTPException, ValueError, UnicodeDecodeError):
        raise HTTPException(400) from None


def text(form: FormData, name: str, limit: int = 300) -> str:
    """Return one field as text on one line, no longer than `limit`."""
    value = form.get(name)
    return text_of(value, limit) if isinstance(value, str) else ""


def raw_text(form: FormData, name: str) -> str:
    """Return one field as it came."""
    value = form.get(name)
    return value if isinstance(value, str) else ""


def text_of(value: str, limit: int) -> str:
    """Return what a stranger sent as printable text on one line, no longer than `limit`."""
    return " ".join("".join(c for c in value if c.isprintable() or c == " ").split())[:limit]


def locale_of(form: FormData) -> str:
    """Return the field `locale` if it is one, else nothing."""
    try:
        return locale_code(text(form, "locale", 35))
    except Refusal:
        return ""


def texts(form: FormData, name: str) -> tuple[str, ...]:
    """Return every value of a repeated field."""
    return tuple(value for value in form.getlist(name) if isinstance(value, str))


def evidence(request: Request, method: Method, settings: Settings) -> Evidence:
    """Return where an act of consent came from, as far as it is to be kept (MAILER_EVIDENCE).

    A link's token does not become evidence.
    """
    path = request.url.path
    shown = path if path.startswith("/n/") else path[:3] + "…"
    agent = text_of(request.headers.get("user-agent", ""), 500)
    kept = settings.evidence
    return Evidence(
        method=method,
        ip=client_ip(request, settings.trusted_proxies) if "ip" in kept else "",
        user_agent=agent if "user-agent" in kept else "",
        page_url=f"{settings.public_url}{text_of(shown, 300)}" if "page" in kept else "",
    )


def client_ip(request: Request, proxies: Sequence[str]) -> str:
    """Return who asks; what a proxy says is believed only of one that is named in the settings."""
    peer = request.client.host if request.client else ""
    for forwarded in reversed(request.headers.get("x-forwarded-for", "").split(",")):
        if peer not in proxies:
            break
        candidate = forwarded.strip()
        try:
            peer = str(ipaddress.ip_address(candidate))
        except ValueError:
            break
    return peer


def is_local(request: Request) -> bool:
    """Say whether the request comes from this very machine, and asks for it by that name."""
    peer = request.client.host if request.client else ""
    return is_loopback(peer) and is_loopback(request.url.hostname or "")


def _once(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
