"""What one row of a list says: an address, a name, how the reader stands and since when."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from mailer.domain.addresses import BadAddress, hash_of_mailbox, mailbox
from mailer.domain.csv_cells import restored
from mailer.domain.errors import Refusal
from mailer.domain.importing import ListRow, Standing
from mailer.domain.schedule import zone
from mailer.domain.spans import Span
from mailer.lists.columns import Columns
from mailer.lists.standings import UnknownStanding, strongest
from mailer.services.newsletters.newsletters import locale_code, one_line

_NAME_LIMIT = 100
_ATTRIBUTE_LIMIT = 1_000
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(.*)")
_ZONE_WORD = re.compile(r"\s*(UTC|GMT)\s*$", re.IGNORECASE)


class BadRow(Refusal):
    """The row cannot be used; the message is the reason in the reject file."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows of one list are read."""

    columns: Columns
    width: int
    suppression_key: bytes
    now: datetime
    valid_for: Span | None
    stated_at: datetime | None
    asks: bool


class RowReader:
    """Reads cells as one reader."""

    def __init__(self, reading: Reading) -> None:
        columns = reading.columns
        self._columns = columns
        self._width = reading.width
        self._key = reading.suppression_key
        self._now = milliseconds(reading.now)
        self._valid_for = reading.valid_for
        self._stated_at = milliseconds(reading.stated_at) if reading.stated_at else None
        self._asks = reading.asks
        self._email = columns.email
        self._name = _picker(columns, "name")
        self._first_name = _picker(columns, "first_name")
        self._last_name = _picker(columns, "last_name")
        self._locale = _picker(columns, "locale")
        self._timezone = _picker(columns, "timezone")
        self._stated = _picker(columns, "stated_at")
        self._left = _picker(columns, "left_at")

    def read(self, line: int, cells: Sequence[str]) -> ListRow:
        """Return the row; raises BadRow."""
        if len(cells) != self._width:
            raise BadRow(f"{len(cells)} cells, and the header has {self._width}")
        text = cells[self._email]
        try:
            address, key, provider = mailbox(restored(text) if text[:1] == "'" else text)
            standing = self._standing(cells)
            return ListRow(
                hash_of_mailbox(key, self._key),
                line,
                address,
                provider,
                self._full_name(cells),
                _locale(self._locale(cells)),
                _timezone(self._timezone(cells)),
                self._attributes(cells),
                standing.value,
                self._since(standing, cells),
            )
        except BadAddress as bad:
            raise BadRow(str(bad) if text.strip() else "no address") from None
        except BadRow:
            raise
        except Refusal as bad:
            raise BadRow(str(bad)) from None

    def _full_name(self, cells: Sequence[str]) -> str:
        name = self._name(cells)
        if not name:
            first, last = self._first_name(cells), self._last_name(cells)
            name = f"{first} {last}" if first and last else first or last
        return _one_line(name, "name", _NAME_LIMIT) if name else ""

    def _standing(self, cells: Sequence[str]) -> Standing:
        """Return how the reader stands; raises BadRow where that is not said, or not with us."""
        standing = self._columns.otherwise
        if self._columns.rules:
            found: list[Standing] = []
            for number, rule in self._columns.rules.items():
                try:
                    said = rule(cells[number])
                except UnknownStanding:
                    raise BadRow(
                        f"the status “{cells[number][:40]}” is not known: write subscribed or "
                        "unsubscribed, or say --map status="
                    ) from None
                if said is not None:
                    found.append(said)
            if found:
                standing = strongest(found)
        if standing is Standing.UNCONFIRMED and not self._asks:
            raise BadRow("the reader has not confirmed there: import with --confirm to ask them")
        return standing

    def _since(self, standing: Standing, cells: Sequence[str]) -> int | None:
        """Return when what the row says was said, as far as it is known."""
        if standing in (Standing.SUBSCRIBED, Standing.UNCONFIRMED):
            since = self._stated_at
            if since is None:
                since = self._moment(self._stated(cells))
            if self._valid_for is not None:
                end = self._valid_for.after(moment_of(self._now if since is None else since))
                if milliseconds(end) <= self._now:
                    raise BadRow(f"the implied consent ended on {end:%Y-%m-%d}")
            return since
        return self._moment(self._left(cells))

    def _moment(self, text: str) -> int | None:
        if not text:
            return None
        moment = _moment_in(text)
        if moment is None:
            raise BadRow(f"“{text[:40]}” is no date: write it like 2024-02-01 or 2024-02-01 09:30")
        if moment > self._now + _A_DAY:
            raise BadRow(f"the date {text[:40]} lies ahead")
        return moment

    def _attributes(self, cells: Sequence[str]) -> str:
        number = self._columns.json_attributes
        found = {} if number is None else _flat(cells[number])
        for name, number in self._columns.attributes.items():
            if text := _cell(cells[number]):
                found[name] = _one_line(text, name, _ATTRIBUTE_LIMIT)
        if not found:
            return ""
        return "{" + ", ".join([f"{_json(name)}: {_json(found[name])}" for name in found]) + "}"


def _picker(columns: Columns, field: str) -> Callable[[Sequence[str]], str]:
    """Return what takes a field out of the cells: of its columns, the first that is filled.

    It stands in the innermost loop over a million rows, so that each case has its own function.
    """
    numbers = columns.places.get(field, ())
    if not numbers:
        return lambda cells: ""
    first, others = numbers[0], numbers[1:]

    def one(cells: Sequence[str]) -> str:
        return _cell(cells[first])

    def several(cells: Sequence[str]) -> str:
        return _cell(cells[first]) or next(filter(None, (_cell(cells[at]) for at in others)), "")

    return several if others else one


def _cell(text: str) -> str:
    return (restored(text) if "'" in text else text).strip()


_A_DAY = 86_400_000  # a clock, or a time zone, may be ahead
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (of moments without an offset: they are UTC)
_YEAR_10000 = 253_402_300_800_000
_json = json.encoder.encode_basestring


def milliseconds(moment: datetime) -> int:
    """Return the moment as milliseconds since 1970."""
    return _in_milliseconds(moment - _EPOCH)


def _in_milliseconds(span: timedelta) -> int:
    return span.days * _A_DAY + span.seconds * 1000 + span.microseconds // 1000


def moment_of(milliseconds_since: int) -> datetime:
    """Return the moment of so many milliseconds since 1970, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds_since)


def parse_moment(text: str) -> datetime | None:
    """Return the date and time in ISO 8601 (or `24.12.2024`); without an offset it is UTC."""
    found = _moment_in(text)
    return None if found is None else moment_of(found)


def _moment_in(text: str) -> int | None:
    """Return the same in milliseconds since 1970."""
    try:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = datetime.fromisoformat(_as_iso(text))
    except ValueError:
        return None
    # To give a moment its zone takes six times as long as to read it.
    found = _in_milliseconds(moment - (_EPOCH if moment.tzinfo else _PLAIN_EPOCH))
    return found if 0 <= found < _YEAR_10000 else None


def _as_iso(text: str) -> str:
    """Return what is not ISO 8601, and yet means one moment only, as ISO 8601."""
    text = _ZONE_WORD.sub("", text.strip())
    dotted = _DOTTED.fullmatch(text)
    if dotted is None:
        return text
    day, month, year, rest = dotted.groups()
    return f"{year}-{int(month):02}-{int(day):02}{rest}"


def looks() -> Mapping[str, Callable[[str], bool]]:
    """Return what cells of these fields look like, for columns that are known by name alone."""
    return {
        "locale": lambda cell: _is_good(_locale, cell),
        "timezone": lambda cell: _is_good(_timezone, cell),
        "stated_at": lambda cell: parse_moment(cell) is not None,
        "left_at": lambda cell: parse_moment(cell) is not None,
    }


def _is_good(read: Callable[[str], str], cell: str) -> bool:
    try:
        return bool(read(cell.strip()))
    except Refusal:
        return False


def _one_line(text: str, field: str, limit: int) -> str:
    """Return what `one_line` does, in a fifth of the time for what is one line."""
    if len(text) <= limit and not _CONTROLS.search(text):
        return text
    return one_line(text, field, limit)


@lru_cache(maxsize=1_000)
def _locale(text: str) -> str:
    return locale_code(text)


@lru_cache(maxsize=1_000)
def _timezone(text: str) -> str:
    return zone(text).key if text else ""


def _flat(text: str) -> dict[str, str]:
    """Return what a JSON object says, as texts: values that are lists or objects stay JSON."""
    if not text.strip():
        return {}
    try:
        found: Any = json.loads(text)
    except ValueError:
        raise BadRow("the attributes are no JSON object") from None
    if not isinstance(found, dict):
        raise BadRow("the attributes are no JSON object")
    return {
        one_line(str(name), "attribute", 60): one_line(
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
            "attribute", _ATTRIBUTE_LIMIT,
        )
        for name, value in found.items()
        if value not in (None, "")
    }  # fmt: skip
