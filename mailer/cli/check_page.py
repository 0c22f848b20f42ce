"""The page of `mailer campaign check --html`: the findings, and what the mail looks like."""

from __future__ import annotations

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mailer.checking.inbox import preheader
from mailer.checking.mail import LARGEST
from mailer.checking.screenshots import (
    VIEWS,
    NoPicture,
    View,
    browser,
    screenshot,
    with_pictures,
)
from mailer.cli.console import shown
from mailer.domain.errors import Refusal
from mailer.feeds import Fetched, Limits, fetch
from mailer.rendering.documents import campaign_check_html
from mailer.services.campaigns.checking import Report

if TYPE_CHECKING:
    from mailer.wiring import Parts

_LIMITS = Limits(octets=3_000_000, seconds=4.0)


def check_page(report: Report, parts: Parts) -> tuple[str, list[str]]:
    """Return the page, and sentences that say what it lacks."""
    views, lacks = _views(report, parts)
    page = campaign_check_html(
        report.as_dict(),
        views=views,
        preheader=preheader(report.mail),
        text=report.mail.text,
        at=shown(parts.now()),
    )
    return page, lacks


def _views(report: Report, parts: Parts) -> tuple[list[dict[str, object]], list[str]]:
    program = browser()
    if program is None:
        return [], ["The page has no pictures of the mail: no Chromium is installed."]
    own = urlsplit(parts.settings.public_url).netloc
    picture = partial(_picture, parts.settings.fetch_allow | {own})
    html = with_pictures(report.mail.html[:LARGEST], picture)
    try:
        with ThreadPoolExecutor(2) as pool:
            pictures = list(pool.map(lambda view: screenshot(html, view, program), VIEWS))
    except NoPicture as reason:
        return [], [f"The page has no pictures of the mail: {reason}."]
    return [_shown(view, png) for view, png in zip(VIEWS, pictures, strict=True)], []


def _shown(view: View, png: bytes) -> dict[str, object]:
    return {"name": view.name, "width": view.width, "picture": b64encode(png).decode()}


def _picture(allow: frozenset[str], url: str) -> tuple[str, bytes] | None:
    try:
        fetched = fetch(url, allow=allow, limits=_LIMITS)
    except Refusal:
        return None
    if not isinstance(fetched, Fetched) or not fetched.content_type.startswith("image/"):
        return None
    return fetched.content_type.partition(";")[0], fetched.body
