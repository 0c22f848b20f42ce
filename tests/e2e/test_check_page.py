"""The pictures that `mailer campaign check --html` takes of a mail."""

from __future__ import annotations

import struct

from mailer.checking.screenshots import View, screenshot

MAIL = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><style>'
    "body { background: #fff } @media (prefers-color-scheme: dark) { body { background: #000 } }"
    "</style></head><body>{}<p>The river is rising.</p></body></html>"
)
LIGHT, DARK = View("Phone", 360, 200), View("Phone, dark", 360, 200, True)


def test_a_mail_is_shown_light_and_dark_at_a_phones_width_and_runs_nothing(
    chromium_path: str,
) -> None:
    plain = MAIL.replace("{}", "")
    light = screenshot(plain, LIGHT, chromium_path)
    assert struct.unpack(">II", light[16:24]) == (360, 200)  # a PNG's header
    assert screenshot(plain, DARK, chromium_path) != light
    lively = MAIL.replace(
        "{}",
        "<script>document.body.style.background = 'red'</script>"
        "<meta http-equiv='refresh' content='0;url=data:text/html,gone'>",
    )
    assert screenshot(lively, LIGHT, chromium_path) == light
