"""Rendering pages: one environment, one set of headers, one way to say that something is not."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from babel.dates import format_date
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from mailer.domain.locales import direction
from mailer.domain.schedule import zone
from mailer.locales import LANGUAGES, N_, catalogue_for, own_name, spoken, translations

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
TOKEN_HEADERS = {**PAGE_HEADERS, "Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
"""For pages behind a signed link: kept nowhere, told to nobody."""


def pages_folder() -> Path:
    """Return where the pages' templates are: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "templates" / "pages"
    return installed if installed.is_dir() else package.parent / "templates" / "pages"


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(pages_folder()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(  # type: ignore[attr-defined]
        translations(language), newstyle=True
    )
    environment.filters["locale_dir"] = direction
    environment.filters["day"] = _day
    environment.globals["languages"] = {each: own_name(each) for each in LANGUAGES}
    return environment


def _day(at: datetime, timezone: str, locale: str) -> str:
    """Write the day of the newsletter's zone in the locale's words."""
    return str(format_date(at.astimezone(zone(timezone)), "long", locale=locale))


def page(
    template: str, *, status: int = 200, token: bool = False, locale: str = "en", **context: Any
) -> HTMLResponse:
    """Return a page in the locale's language; `token`: it stands behind a signed link.

    A locale that we have no catalogue of gets English, and the page says that it is English.
    """
    written = spoken(locale)
    html = (
        _environment(catalogue_for(locale))
        .get_template(template)
        .render(locale=written, dir=direction(written), **context)
    )
    return HTMLResponse(html, status, TOKEN_HEADERS if token else PAGE_HEADERS)


def message(
    title: str, text: str, *, status: int, locale: str, token: bool = False
) -> HTMLResponse:
    """Return a page that says one thing; both sentences are marked with `N_`."""
    say = translations(locale).gettext
    return page(
        "message.html", status=status, token=token, locale=locale, title=say(title), text=say(text)
    )


def preferred_locale(request: Request) -> str:
    """Return the first language of the browser's that we speak, else English."""
    asked = request.headers.get("accept-language", "")[:200]
    for part in asked.split(","):
        locale = part.split(";")[0].strip()
        if locale and catalogue_for(locale) == locale.split("-")[0].lower():
            return catalogue_for(locale)
    return "en"


def not_our_link(request: Request) -> HTMLResponse:
    """Say that a link is not one of ours, and nothing more."""
    return message(
        N_("This link does not work"),
        N_("It may have been cut off on its way. Open the mail again and use the link in it."),
        status=404,
        locale=preferred_locale(request),
        token=True,
    )


async def error_page(request: Request, error: Exception) -> HTMLResponse:
    """Answer what no page answers."""
    status = getattr(error, "status_code", 500)
    title, text = _ERRORS.get(status, _ERRORS[500])
    return message(title, text, status=status, locale=preferred_locale(request))


_GO_BACK = N_("Please go back and try again.")
_ERRORS = {
    400: (N_("This cannot be understood"), _GO_BACK),
    404: (N_("There is no such page"), N_("Please check the address.")),
    405: (N_("This page does not take that"), _GO_BACK),
    413: (N_("That is too much"), N_("Please send less.")),
    500: (
        N_("Something went wrong on our side"),
        N_("Nothing was changed. Please try again later."),
    ),
}
