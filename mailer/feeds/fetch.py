"""Guarded fetching: an address from outside must not lead inside.

Only http and https; the name is resolved once, every address is checked, and the connection goes to
the checked address; each redirect is checked again; size, time and redirects have limits. Of
compressions only gzip is taken, once, and undone piece by piece: a few octets can be packed so that
they fill any memory before somebody counts them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import httpx2

from mailer.domain.errors import Refusal
from mailer.domain.urls import is_public_address

_AGENT = "Mozilla/5.0 (compatible; newsroom-mailer)"
_ACCEPT = "application/rss+xml, application/atom+xml, application/feed+json, text/html, */*;q=0.5"
_ACCEPT_IMAGE = "image/jpeg, image/png, image/webp;q=0.9, image/gif;q=0.8"
_IMAGES_OCTETS = 10_000_000
_UNNAMED = ("", "application/octet-stream", "binary/octet-stream")
"""What stores of files call everything; whether it is an image, its bytes tell."""
_PIECE = 65_536
_LONGEST_RETRY = timedelta(days=1)


class FetchError(Refusal):
    """The address could not be fetched; the message says why and what to do.

    `retry_after`: how long the site asks to be left alone (RFC 9110 §10.2.3), a day at most.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PrivateHost(FetchError):
    """The host is in a private network, and this installation does not allow it."""


class UnknownHost(FetchError):
    """No name server knows the host, or none could be asked."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one fetch may take: octets after decompression, seconds in all, redirects."""

    octets: int = 5_000_000
    seconds: float = 30.0
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, and what to say next time so that an unchanged one is not sent again."""

    final_url: str
    body: bytes
    content_type: str
    etag: str
    last_modified: str


@dataclass(frozen=True, slots=True)
class NotModified:
    """The server says that nothing has changed (RFC 9110 §15.4.5)."""


def fetch(
    url: str,
    *,
    allow: frozenset[str] = frozenset(),
    limits: Limits = Limits(),
    etag: str = "",
    last_modified: str = "",
    accept: str = _ACCEPT,
) -> Fetched | NotModified:
    """Fetch the address; `allow` names private hosts (`host` or `host:port`) that may be asked.

    `accept` is the header of that name (RFC 9110 §12.5.1). Raises FetchError with one sentence.
    Runs an event loop of its own: not to be called on one.
    """
    deadline = time.monotonic() + limits.seconds
    headers = {"Accept": accept, "Accept-Encoding": "gzip"}
    if etag:
        headers["If-None-Match"] = etag
    if last_modified:
        headers["If-Modified-Since"] = last_modified
    asked = url
    for _ in range(limits.redirects + 1):
        try:
            target = checked(url, allow, deadline)
            outcome = asyncio.run(_ask(target, headers, limits, deadline))
            if not isinstance(outcome, str):
                return outcome
            url = urljoin(url, outcome)
        except PrivateHost:
            if url == asked:
                raise
            raise FetchError(  # nobody is to open their network because a stranger points there
                f"{shown(asked)} redirects to {shown(url)}, which is in a private network: "
                "check the address."
            ) from None
        except TimeoutError:
            raise FetchError(f"{shown(url)} is too slow: try again later.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise FetchError(
                f"{shown(url)} cannot be fetched ({reason}): check the address."
            ) from None
    raise FetchError(f"{shown(url)} redirects more than {limits.redirects} times: give its end.")


def fetch_image(url: str, *, seconds: float, allow: frozenset[str] = frozenset()) -> bytes:
    """Fetch what is said to be an image, within `seconds`; raises FetchError as `fetch` does."""
    limits = Limits(octets=_IMAGES_OCTETS, seconds=seconds)
    fetched = fetch(url, allow=allow, limits=limits, accept=_ACCEPT_IMAGE)
    assert isinstance(fetched, Fetched), "nothing was said of an earlier version"
    kind = fetched.content_type.split(";")[0].strip().lower()
    if not kind.startswith("image/") and kind not in _UNNAMED:
        raise FetchError(f"{shown(url)} is “{kind[:60]}”, not an image.")
    return fetched.body


@dataclass(frozen=True, slots=True)
class Target:
    """An address that has been looked at: where the connection goes, and what is asked for."""

    url: str
    host: str
    netloc: str
    address: str


async def _ask(
    target: Target, headers: dict[str, str], limits: Limits, deadline: float
) -> Fetched | NotModified | str:
    """Ask once; return the answer, or where it redirects to. Raises TimeoutError in time."""
    async with stream("GET", target, headers, deadline) as response:
        if response.status_code == 304:
            return NotModified()
        if response.is_redirect:
            return str(response.headers.get("location", ""))
        if response.status_code != 200:
            raise FetchError(
                f"{shown(target.url)} answers {response.status_code}: check the address.",
                _retry_after(response),
            )
        return Fetched(
            final_url=target.url,
            body=await _body(response, target.url, limits),
            content_type=response.headers.get("content-type", ""),
            etag=response.headers.get("etag", ""),
            last_modified=response.headers.get("last-modified", ""),
        )


@asynccontextmanager
async def stream(
    method: str, target: Target, headers: Mapping[str, str], deadline: float
) -> AsyncIterator[httpx2.Response]:
    """Ask the address that was looked at, and no other; raises TimeoutError in time."""
    pinned = httpx2.URL(target.url).copy_with(host=target.address)
    request_headers = {"User-Agent": _AGENT, **headers, "Host": target.netloc}
    remaining = max(deadline - time.monotonic(), 0.0)
    async with (
        asyncio.timeout(remaining),
        httpx2.AsyncClient(timeout=None, follow_redirects=False, trust_env=False) as client,
        client.stream(
            method, pinned, headers=request_headers, extensions={"sni_hostname": target.host}
        ) as response,
    ):
        yield response


async def _body(response: httpx2.Response, url: str, limits: Limits) -> bytes:
    """Read the body, counting after decompression, so that a bomb stops while it grows."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "x-gzip", "identity", ""):
        raise FetchError(f"{shown(url)} is packed as “{encoding[:40]}”, which was not asked for.")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in encoding else None
    body = bytearray()
    async for chunk in response.aiter_raw(_PIECE):
        packed = chunk
        while packed:
            try:
                body += unpack.decompress(packed, _PIECE) if unpack else packed
            except zlib.error:
                raise FetchError(f"{shown(url)} is packed wrongly: try again later.") from None
            if len(body) > limits.octets:
                raise FetchError(
                    f"{shown(url)} is larger than {limits.octets // 1_000_000} MB and is not "
                    "read: check the address."
                )
            packed = unpack.unconsumed_tail if unpack else b""
    return bytes(body)


def _retry_after(response: httpx2.Response) -> timedelta | None:
    """Return how long a site that is busy asks to be left alone, where it says so in seconds."""
    said = response.headers.get("retry-after", "").strip()
    if response.status_code not in (429, 503) or not (said.isascii() and said.isdigit()):
        return None
    return min(timedelta(seconds=int(said[:6])), _LONGEST_RETRY)


def checked(url: str, allow: frozenset[str], deadline: float) -> Target:
    """Resolve the address and look at it; raises FetchError where it must not be asked."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"{shown(url)} is no address on the web: it must begin with https://.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = _checked_address(parts.hostname, port, allow, deadline)
    return Target(url, parts.hostname, parts.netloc.rpartition("@")[2], address)


def _checked_address(host: str, port: int, allow: frozenset[str], deadline: float) -> str:
    try:
        addresses = _resolved(host, port, max(deadline - time.monotonic(), 0.0))
    except TimeoutError:
        raise
    except (OSError, UnicodeError):
        raise UnknownHost(f"The host {host} is not known: check the address.") from None
    if host not in allow and f"{host}:{port}" not in allow:
        for address in addresses:
            if not is_public_address(address):
                raise PrivateHost(
                    f"The host {host} is in a private network and is not fetched: "
                    + _what_to_do(host, address)
                )
    return addresses[0]


def _what_to_do(host: str, address: str) -> str:
    if ipaddress.ip_address(address.partition("%")[0]).is_link_local:
        return "no site is there."  # but what machines of a cloud tell themselves
    return f"if it is yours, set MAILER_FETCH_ALLOW={host}."


def _resolved(host: str, port: int, seconds: float) -> list[str]:
    """Return the host's addresses; raises TimeoutError where the name server takes too long.

    The system's resolver cannot be interrupted, so that it is left behind in a thread of its own.
    """
    answer: Future[list[str]] = Future()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            outcome: list[str] | Exception = [str(entry[4][0]) for entry in found]
        except (OSError, UnicodeError) as error:
            outcome = error
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    return answer.result(seconds)


def shown(url: str) -> str:
    """Return an address as it may stand in a sentence."""
    return url if len(url) <= 120 else url[:119] + "…"
