"""The archive: each campaign in the browser, the list of them, and their feed.

A campaign is shown as the very mail that readers get, with links that lead to nobody.
"""

from __future__ import annotations

import hashlib
import re

from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mailer.locales import translations
from mailer.rendering.open_graph import with_open_graph
from mailer.rendering.rss import Item, rss
from mailer.services.campaigns.archive import Issue, issue_of, issues_of, readable_campaign
from mailer.services.newsletters.lookup import NotFound, find_newsletter
from mailer.store.models import Campaign, Newsletter
from mailer.web.pages import page
from mailer.web.running import while_reading
from mailer.wiring import Parts

_PUBLIC_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PER_PAGE = 20
_FRESH = {"Cache-Control": "public, max-age=300"}
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
    return [
        Route("/a/{public_id}", show, methods=["GET"]),
        Route("/n/{newsletter}/archive", index, methods=["GET"]),
        Route("/n/{newsletter}/archive.xml", feed, methods=["GET"]),
    ]


async def show(request: Request) -> Response:
    """Show a campaign that has been sent, or is being sent."""
    return await while_reading(request, lambda parts, session: _show(parts, session, request))


async def index(request: Request) -> Response:
    """List a newsletter's issues, newest first, twenty a page."""
    return await while_reading(request, lambda parts, session: _index(parts, session, request))


async def feed(request: Request) -> Response:
    """Give the newest issues as RSS; asked again, it answers 304 while nothing is new."""
    return await while_reading(request, lambda parts, session: _feed(parts, session, request))


def _show(parts: Parts, session: Session, request: Request) -> Response:
    public_id = request.path_params["public_id"]
    if not _PUBLIC_ID.fullmatch(public_id):
        raise HTTPException(404)
    campaign = readable_campaign(session, public_id)
    if campaign is None:
        raise HTTPException(404)
    values = parts.renderer.sample_values(
        email="reader@example.org", newsletter=campaign.newsletter, now=parts.now()
    )
    html = parts.renderer.sent_message(session, campaign).preview_html(values)
    return HTMLResponse(_introduced(parts, campaign, html), headers=_HEADERS)


def _introduced(parts: Parts, campaign: Campaign, html: str) -> str:
    """Add what a shared link shows; the mail itself has nothing of it."""
    issue, newsletter = issue_of(campaign, parts.links), campaign.newsletter
    address = parts.links.archive(issue.public_id)
    properties = {
        "og:type": "article",
        "og:title": issue.subject,
        "og:description": issue.summary,
        "og:url": address,
        "og:site_name": newsletter.name,
        "og:locale": newsletter.locale.replace("-", "_"),
        "og:image": issue.image,
        "article:published_time": issue.sent_at.isoformat(timespec="seconds"),
    }
    feed = parts.links.archive_feed(newsletter.slug)
    return with_open_graph(html, properties, feed=feed, canonical=address)


def _index(parts: Parts, session: Session, request: Request) -> Response:
    newsletter = _newsletter(session, request)
    before = request.query_params.get("before", "")[:40]
    try:
        found = issues_of(session, newsletter, parts.links, before=before, limit=_PER_PAGE + 1)
    except NotFound:
        raise HTTPException(404) from None
    shown = found[:_PER_PAGE]
    return page(
        "archive.html",
        locale=newsletter.locale,
        newsletter=newsletter,
        issues=shown,
        older=shown[-1].public_id if len(found) > _PER_PAGE else "",
        newest=not before,
    )


def _feed(parts: Parts, session: Session, request: Request) -> Response:
    newsletter = _newsletter(session, request)
    issues = issues_of(session, newsletter, parts.links, limit=_PER_PAGE)
    links, say = parts.links, translations(newsletter.locale).gettext
    content = rss(
        title=newsletter.name,
        link=links.archive_index(newsletter.slug),
        address=links.archive_feed(newsletter.slug),
        description=say("Past issues of %(newsletter)s") % {"newsletter": newsletter.name},
        language=newsletter.locale,
        items=[_item(parts, issue) for issue in issues],
    )
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_FRESH, "ETag": tag, "X-Content-Type-Options": "nosniff"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/rss+xml", headers=headers)


def _item(parts: Parts, issue: Issue) -> Item:
    return Item(issue.subject, parts.links.archive(issue.public_id), issue.summary, issue.sent_at)


def _newsletter(session: Session, request: Request) -> Newsletter:
    try:
        return find_newsletter(session, request.path_params["newsletter"])
    except NotFound:
        raise HTTPException(404) from None
