"""Whether the places of the log are in the order of the times that their events name.

An event gets its place soon after its time, and behind those that are older. So one that says a
much older time than another before it was put in later than it says, or a clock was wrong: from
the times alone nobody can tell which. A consent that was made up after the mail is found by this
and by nothing else, for whoever has the keys can make its leaf, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.services.audit.findings import Finding, Kind
from mailer.store.auditing_log import LeafRow

LATE = timedelta(hours=1)
"""How long after its time an event may get its place: clocks differ, and transactions take time."""


@dataclass(slots=True)
class _Run:
    """Places, one behind the other, that all name an older time than one before them."""

    first: LeafRow
    ahead: LeafRow
    length: int = 1


class PlacesInOrder:
    """Takes the log's places in their order."""

    def __init__(self) -> None:
        self._newest: tuple[datetime, LeafRow] | None = None
        self._run: _Run | None = None

    def take(self, row: LeafRow) -> Iterator[Finding]:
        """Take the next place; yield the run of places that it ends."""
        at = _moment(row.at)
        if at is None:
            return  # its own row is named for that
        newest = self._newest
        if newest is None or at >= newest[0]:
            self._newest = at, row
        if newest is None or at >= newest[0] - LATE:
            yield from self.rest()
        elif self._run is not None:
            self._run.length += 1
        else:
            self._run = _Run(row, newest[1])

    def rest(self) -> Iterator[Finding]:
        """Yield the run that has not ended."""
        run, self._run = self._run, None
        if run is None:
            return
        more = f" So do the {run.length - 1:,} places behind it." if run.length > 1 else ""
        yield Finding(
            Kind.TIME, "consent_log", str(run.first.leaf_index),
            f"Its event {run.first.event} says {run.first.at}, and event {run.ahead.event} at "
            f"place {run.ahead.leaf_index} before it {run.ahead.at}: it was put in later than it "
            f"says, or a clock was wrong.{more}",
        )  # fmt: skip


def _moment(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
