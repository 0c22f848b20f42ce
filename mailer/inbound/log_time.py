"""Times as logs write them: with a zone or without, with a year or without."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_MONTHS = {
    name: number
    for number, name in enumerate(
        b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1
    )
}
_WITH_YEAR = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d{1,9})? ?(Z|[+-]\d\d:?\d\d)?"
)
_WITHOUT_YEAR = re.compile(rb"([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d)")
_YEARS = 5  # from one 29 February to the one before, with a year to spare
_AHEAD = timedelta(days=1)


class LogClock:
    """Reads the times of a log; what they leave out is assumed.

    Without a zone: `zone`, or else this machine's own. Without a year: the last in which that time
    was not in the future.
    """

    def __init__(self, zone: tzinfo | None, *, now: datetime) -> None:
        self._zone = zone
        self._latest = now + _AHEAD
        self.assumed_zone = False
        """Whether a time without a zone was taken for this machine's own."""

    def read(self, stamp: bytes, *, late: bool = False) -> datetime | None:
        """Return the time in UTC, or None where there is no such time.

        `late` takes the later of two, where clocks went back and showed the same time twice.
        """
        try:
            return self._read(stamp, fold=int(late))
        except (ValueError, OverflowError):
            return None

    def _read(self, stamp: bytes, fold: int) -> datetime | None:
        if found := _WITH_YEAR.fullmatch(stamp):
            *numbers, offset = found.groups()
            local = datetime(*map(int, numbers), fold=fold)  # type: ignore[arg-type] # noqa: DTZ001
            return (
                local.replace(tzinfo=_offset(offset)).astimezone(UTC)
                if offset
                else self._utc(local)
            )
        if found := _WITHOUT_YEAR.fullmatch(stamp):
            name, *rest = found.groups()
            return self._in_the_last_year(_MONTHS.get(name, 0), [int(each) for each in rest], fold)
        return None

    def _in_the_last_year(self, month: int, rest: list[int], fold: int) -> datetime | None:
        day, hour, minute, second = rest
        for year in range(self._latest.year, self._latest.year - _YEARS, -1):
            try:
                moment = self._utc(
                    datetime(year, month, day, hour, minute, second, fold=fold)  # noqa: DTZ001
                )
            except ValueError:
                continue
            if moment <= self._latest:
                return moment
        return None

    def _utc(self, local: datetime) -> datetime:
        self.assumed_zone |= self._zone is None
        return local.replace(tzinfo=self._zone).astimezone(UTC)


def _offset(text: bytes) -> tzinfo:
    if text == b"Z":
        return UTC
    away = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-away if text.startswith(b"-") else away)
