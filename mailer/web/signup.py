"""The sign-up page: the wording word for word, one unticked box per purpose."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mailer.domain.addresses import BadAddress, EmailAddress, parse_address
from mailer.domain.consent import Method
from mailer.locales import N_, translations
from mailer.services.consent.signup import Signup, SignupOutcome, request_signup
from mailer.services.newsletters.lookup import NotFound, find_newsletter
from mailer.services.newsletters.notices import current_notice
from mailer.services.newsletters.topics import topic_choices, topics_of
from mailer.store.models import Newsletter
from mailer.store.readers import ReaderDetails
from mailer.web.pages import message, page, preferred_locale
from mailer.web.requests import evidence, locale_of, raw_text, read_form, text, texts
from mailer.web.running import in_transaction, ringing, while_reading
from mailer.wiring import Parts

HONEYPOT = "website"
"""A field that people do not see; whoever fills it in is a program."""


def routes() -> list[Route]:
    """Return the routes of this file."""
    return [
        Route("/n/{newsletter}", show, methods=["GET"]),
        Route("/n/{newsletter}", submit, methods=["POST"]),
        Route("/n/{newsletter}/embed", embed, methods=["GET"]),
    ]


async def show(request: Request) -> Response:
    """Show the form."""
    return await while_reading(
        request, lambda parts, session: _form(parts, session, request, {}, "", "")
    )


async def submit(request: Request) -> Response:
    """Take a filled-in form; the answer tells nothing about the address."""
    form = await read_form(request)
    parts: Parts = request.app.state.parts
    values: dict[str, Any] = {
        "email": text(form, "email"),
        "name": text(form, "name", 100),
        "purposes": texts(form, "purpose"),
        "topics": texts(form, "topic"),
        "locale": locale_of(form),
    }
    if text(form, HONEYPOT):
        return _received(values["locale"] or preferred_locale(request))
    try:
        address = parse_address(raw_text(form, "email"))
    except BadAddress:
        return await while_reading(
            request,
            lambda parts, session: _form(
                parts, session, request, values, "email", N_("Please enter an e-mail address.")
            ),
        )
    response = await in_transaction(
        request,
        lambda parts, session: _sign_up(
            parts, session, request, values, address, text(form, "notice", 64) or None
        ),
    )
    return ringing(response, parts)


async def embed(request: Request) -> Response:
    """Show the snippet for the publisher's own pages."""

    def answer(parts: Parts, session: Session) -> Response:
        newsletter = _newsletter(session, request)
        notice = current_notice(session, newsletter, _locale(request))
        if notice is None:
            return _not_open(request)
        return page(
            "embed.html",
            locale=notice.locale,
            newsletter=newsletter,
            notice=notice,
            topics=topic_choices(session, newsletter, notice.locale),
            action=parts.links.signup(newsletter.slug),
        )

    return await while_reading(request, answer)


def _sign_up(
    parts: Parts,
    session: Session,
    request: Request,
    values: dict[str, Any],
    address: EmailAddress,
    notice_sha256: str | None,
) -> Response:
    newsletter = _newsletter(session, request)
    outcome = request_signup(
        session,
        Signup(
            newsletter=newsletter,
            address=address,
            purposes=values["purposes"],
            evidence=evidence(request, Method.FORM, parts.settings),
            notice_sha256=notice_sha256,
            details=ReaderDetails(
                name=values["name"],
                locale=values["locale"],
                topics=tuple(
                    topic.slug
                    for topic in topics_of(session, newsletter)
                    if topic.slug in values["topics"]
                ),
            ),
        ),
        renderer=parts.renderer,
        suppression_key=parts.suppression_key,
        now=parts.now(),
    )
    match outcome:
        case SignupOutcome.RECEIVED:
            return _received(values["locale"] or preferred_locale(request))
        case SignupOutcome.NO_PURPOSE:
            said = N_("Please tick at least one of the boxes: what would you like to receive?")
            return _form(parts, session, request, values, "purposes", said)
        case SignupOutcome.NOTICE_CHANGED:
            said = N_(
                "The wording has changed since you opened the page. Please read it once more."
            )
            return _form(parts, session, request, values, "notice", said)


def _form(
    parts: Parts,
    session: Session,
    request: Request,
    values: dict[str, Any],
    wrong: str,
    said: str,
) -> Response:
    newsletter = _newsletter(session, request)
    locale = values.get("locale") or _locale(request) or newsletter.locale
    notice = current_notice(session, newsletter, locale)
    if notice is None:
        return _not_open(request)
    return page(
        "signup.html",
        status=422 if said else 200,
        locale=notice.locale,
        newsletter=newsletter,
        notice=notice,
        topics=topic_choices(session, newsletter, notice.locale),
        values={"email": "", "name": "", "purposes": (), "topics": (), **values},
        wrong=wrong,
        said=translations(notice.locale).gettext(said) if said else "",
        honeypot=HONEYPOT,
    )


def _newsletter(session: Session, request: Request) -> Newsletter:
    try:
        return find_newsletter(session, request.path_params["newsletter"])
    except NotFound:
        raise HTTPException(404) from None


def _locale(request: Request) -> str:
    asked = request.query_params.get("locale", "")[:35]
    preferred = request.headers.get("accept-language", "").split(",")[0].split(";")[0].strip()
    return asked or preferred[:35]


def _received(locale: str) -> Response:
    return page("received.html", token=True, locale=locale)


def _not_open(request: Request) -> Response:
    return message(
        N_("Sign-up is not open yet"),
        N_("This newsletter has not published its wording."),
        status=404,
        locale=preferred_locale(request),
    )
