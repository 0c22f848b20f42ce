"""Pictures of a mail as a browser shows it: wide, on a phone, and in a dark window.

The page cannot run scripts and reaches no network: the pictures in the mail are put into it first.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SECONDS = 25.0
_SOURCE = re.compile(r"""(<img\b[^>]{0,300}?\bsrc=)(["'])(https?://[^"']{1,2000})\2""", re.I)
_MOST_PICTURES = 30
_DOCTYPE = re.compile(r"\s*<!doctype[^<>]{0,300}>", re.I)
_GOES_ELSEWHERE = re.compile(r"<meta\b[^<>]{0,300}\brefresh\b[^<>]{0,300}>", re.I)

Picture = Callable[[str], tuple[str, bytes] | None]
"""Returns an address's media type and octets; None where there is nothing to show."""


class View(NamedTuple):
    """A window: its name, its width and height in pixels, and whether it is dark."""

    name: str
    width: int
    height: int
    dark: bool = False


VIEWS = (
    View("Desktop", 700, 1800),
    View("Phone", 360, 1800),
    View("Desktop, dark", 700, 1800, True),
    View("Phone, dark", 360, 1800, True),
)


class NoPicture(Exception):
    """The browser took none; the message says why."""


def browser() -> str | None:
    """Return the system's browser, if there is one that we know."""
    return next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def with_pictures(html: str, picture: Picture) -> str:
    """Return the HTML with its pictures inside; those that cannot be had are left out."""
    known: dict[str, str] = {}

    def inside(match: re.Match[str]) -> str:
        url = match[3].replace("&amp;", "&")
        if url not in known and len(known) < _MOST_PICTURES:
            found = picture(url)
            known[url] = f"data:{found[0]};base64,{b64encode(found[1]).decode()}" if found else ""
        return f"{match[1]}{match[2]}{known.get(url, '')}{match[2]}"

    return _SOURCE.sub(inside, html)


def screenshot(html: str, view: View, program: str) -> bytes:
    """Return a PNG of the window; raises NoPicture."""
    with tempfile.TemporaryDirectory(prefix="mailer-check-") as name:
        folder = Path(name)
        page, picture = folder / "mail.html", folder / "picture.png"
        page.write_text(_still(html), "utf-8", errors="replace")
        scheme = "0" if view.dark else "1"
        command = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions",
            "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--mute-audio",
            "--virtual-time-budget=3000",
            f"--user-data-dir={folder / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--window-size={view.width},{view.height}",
            f"--screenshot={picture}",
            page.as_uri(),
        ]  # fmt: skip
        try:
            ended = subprocess.run(
                command, capture_output=True, timeout=_SECONDS, check=False,
                env={"PATH": os.defpath, "HOME": name},  # nothing of ours, keys least of all
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NoPicture(f"the browser took longer than {_SECONDS:g} seconds") from None
        except OSError as error:
            raise NoPicture(f"the browser cannot be run ({error.strerror})") from None
        if not picture.is_file():
            raise NoPicture(f"the browser ended with status {ended.returncode}")
        return picture.read_bytes()


def _still(html: str) -> str:
    """Return the page as one that runs nothing, loads nothing and goes nowhere.

    No frame around it: those are painted by a process of their own, often after the picture.
    """
    begins = _DOCTYPE.match(html)
    rest = _GOES_ELSEWHERE.sub("", html[begins.end() if begins else 0 :])
    return (
        '<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"{rest}"
    )
