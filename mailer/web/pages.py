"""Rendering pages: one environment, one set of headers, one way to say that something is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from mailer.domain.locales import direction

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


_environment = Environment(
    loader=FileSystemLoader(pages_folder()),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=["jinja2.ext.i18n"],
)
_environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]


def page(
    template: str, *, status: int = 200, token: bool = False, locale: str = "en", **context: Any
) -> HTMLResponse:
    """Return a page; `token`: it stands behind a signed link."""
    html = _environment.get_template(template).render(
        locale=locale, dir=direction(locale), **context
    )
    return HTMLResponse(html, status, TOKEN_HEADERS if token else PAGE_HEADERS)


def message(title: str, text: str, *, status: int, token: bool = False) -> HTMLResponse:
    """Return a page that says one thing."""
    return page("message.html", status=status, token=token, title=title, text=text)


def not_our_link() -> HTMLResponse:
    """Say that a link is not one of ours, and nothing more."""
    return message(
        "This link does not work",
        "It may have been cut off on its way. Open the mail again and use the link in it.",
        status=404,
        token=True,
    )


async def error_page(request: Request, error: Exception) -> HTMLResponse:
    """Answer what no page answers."""
    status = getattr(error, "status_code", 500)
    title, text = _ERRORS.get(status, _ERRORS[500])
    return message(title, text, status=status)


_ERRORS = {
    400: ("This cannot be understood", "Please go back and try again."),
    404: ("There is no such page", "Please check the address."),
    405: ("This page does not take that", "Please go back and try again."),
    413: ("That is too much", "Please send less."),
    500: ("Something went wrong on our side", "Nothing was changed. Please try again later."),
}
