"""The live preview of a template: a page on loopback that shows it anew when a file changes."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from mailer.domain.errors import Refusal
from mailer.domain.urls import is_loopback
from mailer.locales import LANGUAGES, catalogue_for, own_name

if TYPE_CHECKING:
    from mailer.rendering import CompiledMessage

    Rendered = Callable[[str | None, dict[str, str]], CompiledMessage]

_PAGE = Path(__file__).parent / "sample" / "template_watch.html"


def pictures_inside() -> dict[str, str]:
    """Return the sample pictures as addresses that hold them, for a page that needs no server."""
    from mailer.services.mails.samples import PICTURES

    return {name: f"data:image/jpeg;base64,{_jpeg(name)}" for name in PICTURES}


def _jpeg(name: str) -> str:
    from mailer.web.pages import pages_folder

    path = pages_folder() / "static" / "sample" / f"{name}.jpg"
    return b64encode(path.read_bytes()).decode("ascii")


def watch_template(
    name: str,
    rendered: Rendered,
    locale: str | None,
    own_folder: Path,
    *,
    port: int,
    tell: Callable[[str], None],
) -> None:
    """Serve the page until Ctrl-C; `tell` is told where it is."""
    server = preview_server(name, rendered, locale, own_folder, port=port)
    try:
        host, bound = server.server_address[:2]
        tell(f"http://{host!s}:{bound}/ shows “{name}”, anew whenever a file changes. Ctrl-C ends.")
        server.serve_forever()
    finally:
        server.server_close()


def preview_server(
    name: str, rendered: Rendered, locale: str | None, own_folder: Path, *, port: int
) -> ThreadingHTTPServer:
    """Return the server, bound to loopback and not started; port 0 is any that is free."""
    from mailer.rendering.environment import built_in_folder

    folders = (own_folder, built_in_folder())

    class Page(BaseHTTPRequestHandler):
        """Answers with the page around the mail, the mail, its text, or what has changed."""

        def do_GET(self) -> None:
            """Answer whoever asks for loopback by that name: no page elsewhere can ask."""
            if not is_loopback(urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""):
                self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
                return
            asked = urlsplit(self.path)
            wanted = parse_qs(asked.query).get("locale", [locale])[0]
            match asked.path:
                case "/":
                    self._answer("text/html", _frame(name, wanted))
                case "/mail":
                    self._answer("text/html", _mail(rendered, wanted))
                case "/dark":
                    self._answer("text/html", _dark(_mail(rendered, wanted)))
                case "/text":
                    self._answer("text/html", _text(rendered, wanted))
                case "/version":
                    self._answer("application/json", json.dumps(_version(folders)))
                case _:
                    self.send_error(HTTPStatus.NOT_FOUND)

        def _answer(self, kind: str, content: str) -> None:
            body = content.encode("utf-8", "replace")
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of every request."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Page)
    except OSError as error:
        raise Refusal(
            f"Port {port} cannot be listened on ({error.strerror}): choose another."
        ) from None


def _version(folders: tuple[Path, ...]) -> list[int]:
    """Return what changes whenever a template is written, added or taken away."""
    times = [
        path.stat().st_mtime_ns
        for folder in folders
        if folder.is_dir()
        for path in folder.rglob("*")
        if path.is_file()
    ]
    return [len(times), max(times, default=0)]


def _frame(name: str, locale: str | None) -> str:
    links = " ".join(
        f'<a href="/?locale={each}" lang="{each}"{_current(each, locale)}>{own_name(each)}</a>'
        for each in LANGUAGES
    )
    query = f"?locale={escape(locale)}" if locale else ""
    page = _PAGE.read_text("utf-8")
    return page.replace("@NAME@", escape(name)).replace("@LINKS@", links).replace("@QUERY@", query)


def _current(each: str, locale: str | None) -> str:
    return ' aria-current="true"' if locale and catalogue_for(locale) == each else ""


def _mail(rendered: Rendered, locale: str | None) -> str:
    from mailer.services.mails.samples import sample_reader

    try:
        return rendered(locale, pictures_inside()).preview_html(sample_reader())
    except Refusal as refusal:
        return (
            '<!DOCTYPE html><html lang="en"><title>Not rendered</title><body style="margin: 24px; '
            'font: 16px/1.5 system-ui, sans-serif"><h1 style="font-size: 20px">This cannot be '
            f'rendered</h1><p role="alert">{escape(str(refusal))}</p></body></html>'
        )


def _dark(html: str) -> str:
    """Return the mail as it is where dark mode is on."""
    return html.replace("@media (prefers-color-scheme: dark)", "@media all")


def _text(rendered: Rendered, locale: str | None) -> str:
    from mailer.services.mails.samples import sample_reader

    try:
        message = rendered(locale, pictures_inside())
        values = sample_reader()
        said = f"Subject: {message.subject(values)}\n\n{message.preview_text(values)}"
    except Refusal as refusal:
        said = str(refusal)
    return (
        '<!DOCTYPE html><html lang="en"><title>Text</title><pre style="unicode-bidi: plaintext; '
        f'text-align: start; white-space: pre-wrap">{escape(said)}</pre></html>'
    )
