"""What the command line says of images: which are shown, which are left out, and why."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pictures import picture
from shells.endings import Command

PAGE = """<html lang="en"><head><title>{title}</title><meta property="og:type" content="article">
<meta property="og:image" content="{image}"></head><body><article><h1>{title}</h1><p>{text}</p>
</article></body></html>"""
TEXT = "The port was opened again on Friday, and the boats came home with the evening tide. " * 5


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.end_headers()
        self.wfile.write(picture() if self.path == "/boats.jpg" else b"<html>")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MAILER_FETCH_ALLOW", f"127.0.0.1:{server.server_port}")
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_is_left_out_is_named_wherever_somebody_looks(
    weekly: Command, tmp_path: Path, site: str
) -> None:
    for number, image in enumerate((f"{site}/boats.jpg", f"{site}/broken.jpg"), start=1):
        saved = tmp_path / f"{number}.html"
        saved.write_text(PAGE.format(title=f"Story {number}", image=image, text=TEXT), "utf-8")
        url = f"https://news.test/{number}"
        assert weekly("article", "add", "weekly", str(saved), "--url", url).status == 0
    said = "The image of “Story 2” is left out: "
    reason = f"{site}/broken.jpg cannot be shown: it is no JPEG, PNG, GIF or WebP."

    weekly("digest", "add", "weekly", "daily", "--purpose", "updates", "--cron", "0 6 * * *")
    mail = tmp_path / "mail.html"
    ended = weekly("digest", "preview", "weekly", "daily", "--html", str(mail), "--json")
    assert said + reason in ended.err
    (left_out,) = json.loads(ended.out)["images_left_out"]
    assert (left_out["title"], left_out["reason"]) == ("Story 2", reason)
    assert 'src="data:image/jpeg;base64,' in mail.read_text("utf-8")
    assert site not in mail.read_text("utf-8")

    ended = weekly(
        *("campaign", "create", "weekly", "--purpose", "updates", "--subject", "News"),
        *("--article", "1", "--article", "2"),
    )  # fmt: skip
    assert said + reason in ended.err
    assert said + reason in weekly("campaign", "show", "1").out
    ended = weekly("campaign", "preview", "1", "--html")
    assert said + reason in ended.err
    assert (ended.out.count("/img/"), site in ended.out) == (1, False)
