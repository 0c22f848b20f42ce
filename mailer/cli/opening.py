"""Opens the running parts for one command; the heavy imports happen here, not for `--help`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailer.wiring import Parts


def open_installation() -> Parts:
    """Return the parts of this installation; refuses wrong settings, keys and databases."""
    from mailer.wiring import open_parts

    return open_parts()


def open_to_serve() -> Parts:
    """Return the parts for a process that serves or sends; says so where nothing is sent."""
    from mailer.cli.console import say
    from mailer.store.engine import reading
    from mailer.store.halting import ADVICE, halted_reason
    from mailer.wiring import open_service

    parts = open_service()
    with reading(parts.sessions) as session:
        reason = halted_reason(session)
    if reason is not None:
        say(f"Nothing is sent: {reason} {ADVICE}")
    return parts
