"""Relays' logs, read once from beginning to end, for what they say of the mails in question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from mailer.domain.errors import Refusal
from mailer.domain.evidence import Said, Sighting, Span
from mailer.inbound.log_time import LogClock


class Heard(NamedTuple):
    """What one line says of a mail; `name` is its Message-ID up to the @."""

    name: bytes
    queue_id: bytes
    said: Said


class Format(Protocol):
    """The log of one kind of relay."""

    @property
    def name(self) -> str:
        """How people call it."""

    def stamp(self, line: bytes) -> bytes | None:
        """Return the line's time as it stands there, if it is a line of this kind of log."""

    def hear(self, line: bytes) -> Heard | None:
        """Return what the line says of a mail."""


class NoRelayLog(Refusal):
    """A file is no log of a relay that we know."""


_RANK = {Said.SEEN: 0, Said.NOT_ACCEPTED: 1, Said.ACCEPTED: 2}
_MOST_SIGHTINGS = 50  # of one mail: whoever got it may send it round in circles
_LOSSES = (b" due to rate-limiting", b": Suppressed ")  # as rsyslogd and systemd-journald say it
_SECOND = 19  # octets at the beginning of a line that stay the same within a second


class RelayLogs:
    """What the logs say of the mails that are asked for, file by file.

    Mails are known by their opaque names, whatever domain their Message-IDs have.
    """

    def __init__(self, asked: Mapping[str, int], clock: LogClock) -> None:
        self._asked = {name.encode(): delivery_id for name, delivery_id in asked.items()}
        self._clock = clock
        self.sightings: dict[int, dict[str, Sighting]] = {}
        """Delivery id → queue id → what was said."""
        self.spans: list[Span] = []
        self.lines_lost = False
        """Whether a log says of itself that lines were dropped."""

    def read(self, lines: Iterable[bytes], formats: Iterable[Format], what: str) -> str:
        """Read one log to its end; return the name of its format.

        Raises NoRelayLog, naming it as `what`, where no line is one of a relay's log.
        """
        candidates = list(formats)
        span: Span | None = None
        second = b""
        for line in lines:
            if line[:_SECOND] != second and (stamp := _recognised(candidates, line)):
                span, second = self._longer(span, stamp), line[:_SECOND]
            if _LOSSES[0] in line or _LOSSES[1] in line:
                self.lines_lost |= not any(each.stamp(line) for each in candidates)
            for each in candidates:
                heard = each.hear(line)
                if heard is not None and heard.name in self._asked:
                    self._note(heard, each.stamp(line))
        if span is None:
            raise NoRelayLog(f"{what} has no line of a mail log of Postfix or Exim: give that log.")
        self.spans.append(span)
        return candidates[0].name

    def _longer(self, span: Span | None, stamp: bytes) -> Span | None:
        """Return the span up to this line; where clocks went back, rather too short."""
        last, first = self._clock.read(stamp), self._clock.read(stamp, late=True)
        if last is None or first is None:
            return span
        return Span(span.first if span else first, last)

    def _note(self, heard: Heard, stamp: bytes | None) -> None:
        of_mail = self.sightings.setdefault(self._asked[heard.name], {})
        queue_id = heard.queue_id.decode("ascii", "replace")
        before = of_mail.get(queue_id)
        if before is not None and _RANK[before.said] >= _RANK[heard.said]:
            return
        if before is None and len(of_mail) >= _MOST_SIGHTINGS:
            queue_id, heard = "…", heard._replace(said=Said.SEEN)
        at: datetime | None = self._clock.read(stamp or b"")
        of_mail[queue_id] = Sighting(heard.said, queue_id, at)


def _recognised(candidates: list[Format], line: bytes) -> bytes | None:
    """Return the line's time; the first line that has one settles what kind of log it is."""
    for each in candidates:
        if stamp := each.stamp(line):
            candidates[:] = [each]
            return stamp
    return None
