"""Behind signed links: confirm, leave, choose. GET and HEAD change nothing; POST does."""

from __future__ import annotations

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailer.domain.consent import Method
from mailer.locales import N_
from mailer.services.consent.preferences import (
    LeavePage,
    Preferences,
    leave,
    leave_all,
    open_leave,
    open_preferences,
    save_preferences,
)
from mailer.services.consent.signup import ConfirmPage, confirm, open_confirmation
from mailer.web.pages import message, not_our_link, page, preferred_locale
from mailer.web.requests import evidence, locale_of, read_form, text, texts
from mailer.web.running import in_transaction, while_reading
from mailer.wiring import Parts

_ONE_CLICK = ("List-Unsubscribe", "One-Click")  # RFC 8058 §3.2


def routes() -> list[Route]:
    """Return the routes of this file."""
    return [
        Route("/c/{token}", show_confirmation, methods=["GET"]),
        Route("/c/{token}", press_confirm, methods=["POST"]),
        Route("/u/{token}", show_leave, methods=["GET"]),
        Route("/u/{token}", press_leave, methods=["POST"]),
        Route("/p/{token}", show_preferences, methods=["GET"]),
        Route("/p/{token}", press_save, methods=["POST"]),
    ]


async def show_confirmation(request: Request) -> Response:
    """Show what the button would confirm."""
    return await while_reading(
        request,
        lambda parts, session: _confirm_page(
            request,
            open_confirmation(session, parts.signer, _token(request), now=parts.now()),
            None,
        ),
    )


async def press_confirm(request: Request) -> Response:
    """Confirm."""
    return await in_transaction(
        request,
        lambda parts, session: _confirm_page(
            request,
            found := confirm(
                session,
                parts.signer,
                _token(request),
                evidence(request, Method.CONFIRM, parts.settings),
                message_id_of=parts.identity.message_id,
                now=parts.now(),
            ),
            parts.links.preferences(found.newsletter.id, found.subscriber_id) if found else None,
        ),
    )


async def show_leave(request: Request) -> Response:
    """Show the button that leaves."""
    return await while_reading(
        request,
        lambda parts, session: _leave_page(
            request, open_leave(session, parts.signer, _token(request))
        ),
    )


async def press_leave(request: Request) -> Response:
    """Leave: a mail program's one click, or the button of the page, which says the same."""
    form = await read_form(request)
    if text(form, _ONE_CLICK[0]) != _ONE_CLICK[1]:
        return message(
            N_("This cannot be understood"),
            N_("Please use the button."),
            status=400,
            locale=preferred_locale(request),
            token=True,
        )
    return await in_transaction(
        request,
        lambda parts, session: _leave_page(
            request,
            leave(
                session,
                parts.signer,
                _token(request),
                evidence(request, Method.ONE_CLICK, parts.settings),
                now=parts.now(),
            ),
        ),
    )


async def show_preferences(request: Request) -> Response:
    """Show what the reader receives."""
    return await while_reading(
        request,
        lambda parts, session: _preferences_page(
            request, open_preferences(session, parts.signer, _token(request)), saved=False
        ),
    )


async def press_save(request: Request) -> Response:
    """Keep what the reader chose, or, with the button "leave all", end all of it."""
    form = await read_form(request)
    leaves_all = text(form, "leave") == "all"

    def answer(parts: Parts, session: Session) -> Response:
        said = evidence(request, Method.PREFERENCES, parts.settings)
        if leaves_all:
            found = leave_all(session, parts.signer, _token(request), said, now=parts.now())
        else:
            found = save_preferences(
                session,
                parts.signer,
                _token(request),
                wanted=frozenset(texts(form, "purpose")),
                notice_sha256=text(form, "notice", 64) or None,
                name=text(form, "name", 100) if "name" in form else None,
                locale=locale_of(form) if "locale" in form else None,
                topics=frozenset(texts(form, "topic")) if "topics" in form else None,
                evidence=said,
                now=parts.now(),
            )
        return _preferences_page(request, found, saved=True)

    return await in_transaction(request, answer)


def _token(request: Request) -> str:
    return str(request.path_params["token"])


def _confirm_page(request: Request, found: ConfirmPage | None, preferences: str | None) -> Response:
    if found is None:
        return not_our_link(request)
    return page(
        "confirm.html", token=True, locale=found.locale, page=found, preferences=preferences
    )


def _leave_page(request: Request, found: LeavePage | None) -> Response:
    if found is None:
        return not_our_link(request)
    return page("leave.html", token=True, locale=found.newsletter.locale, page=found)


def _preferences_page(request: Request, found: Preferences | None, *, saved: bool) -> Response:
    if found is None:
        return not_our_link(request)
    status = 422 if found.wording_unknown else 200
    return page(
        "preferences.html", status=status, token=True, locale=found.locale, page=found,
        saved=saved and not found.wording_unknown,
    )  # fmt: skip
