"""Asking whether an address answers, guarded as fetching is; the body is not read."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urljoin

import httpx2

from mailer.domain.reached import Reached
from mailer.feeds.fetch import FetchError, Limits, Target, UnknownHost, checked, shown, stream

_ANSWERS_NO_HEAD = (400, 403, 404, 405, 406, 410, 500, 501)
_HEADERS = {"Accept": "*/*"}


def probe(url: str, *, seconds: float, allow: frozenset[str] = frozenset()) -> Reached:
    """Ask with HEAD, and with GET where HEAD is refused; never raises for what the web does.

    `allow` as for `fetch`. Runs an event loop of its own: not to be called on one.
    """
    deadline = time.monotonic() + seconds
    try:
        for _ in range(Limits().redirects + 1):
            target = checked(url, allow, deadline)
            answer, onwards = asyncio.run(_ask(target, deadline))
            if not onwards:
                return answer
            url = urljoin(url, onwards)
    except UnknownHost as error:
        return Reached(None, str(error), unknown_host=True)
    except FetchError as error:
        return Reached(None, str(error))
    except TimeoutError:
        return Reached(None, f"no answer within {seconds:g} seconds")
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, OSError) as error:
        return Reached(None, str(error) or type(error).__name__)
    return Reached(None, f"{shown(url)} redirects again and again")


async def _ask(target: Target, deadline: float) -> tuple[Reached, str]:
    """Return the answer, and where it redirects to."""
    for method in ("HEAD", "GET"):
        async with stream(method, target, _HEADERS, deadline) as response:
            if response.is_redirect:
                return Reached(response.status_code), response.headers.get("location", "")
            if method == "HEAD" and response.status_code in _ANSWERS_NO_HEAD:
                continue
            length = response.headers.get("content-length", "")
            return Reached(
                response.status_code,
                content_type=response.headers.get("content-type", ""),
                octets=int(length[:12]) if length.isascii() and length.isdigit() else None,
            ), ""
    raise AssertionError("GET was answered")
