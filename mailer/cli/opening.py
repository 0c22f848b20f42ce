"""Opens the running parts for one command; the heavy imports happen here, not for `--help`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailer.wiring import Parts


def open_installation() -> Parts:
    """Return the parts of this installation; refuses wrong settings, keys and databases."""
    from mailer.wiring import open_parts

    return open_parts()
