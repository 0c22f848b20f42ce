"""What became of asking an address on the web."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reached:
    """The last status after redirects, or why there was none."""

    status: int | None
    problem: str = ""
    content_type: str = ""
    octets: int | None = None
    unknown_host: bool = False
    """Nobody knows the host; or no name server can be asked."""
