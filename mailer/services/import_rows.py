"""What one row of a list says: an address, a name, how the reader stands and since when."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from mailer.domain.addresses import (
    BadAddress,
    address_hash,
    parse_address,
    plain_address,
    receiving_provider,
)
from mailer.domain.csv_cells import restored
from mailer.domain.errors import Refusal
from mailer.domain.importing import ListRow, Standing
from mailer.domain.schedule import zone
from mailer.lists.columns import Columns
from mailer.lists.standings import UnknownStanding, strongest
from mailer.services.newsletters import locale_code, one_line

_NAME_LIMIT = 100
_ATTRIBUTE_LIMIT = 1_000
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(.*)")
_ZONE_WORD = re.compile(r"\s*(UTC|GMT)\s*$", re.IGNORECASE)


class BadRow(Refusal):
    """The row cannot be used; the message is the reason in the reject file."""


class RowReader:
    """Reads cells as one reader; the columns are known."""

    def __init__(
        self,
        columns: Columns,
        width: int,
        suppression_key: bytes,
        *,
        now: datetime,
        ends_after: Callable[[datetime], datetime] | None,
        stated_at: datetime | None,
        asks: bool,
    ) -> None:
        self._columns = columns
        self._width = width
        self._key = suppression_key
        self._now = milliseconds(now)
        self._ends_after = ends_after
        self._stated_at = milliseconds(stated_at) if stated_at else None
        self._asks = asks
        self._places = columns.places
        self._email = columns.email
        self._has_locale = "locale" in columns.places
        self._has_timezone = "timezone" in columns.places
        self._has_parts = "first_name" in columns.places or "last_name" in columns.places
        self._has_attributes = bool(columns.attributes or columns.json_attributes is not None)

    def read(self, line: int, cells: Sequence[str]) -> ListRow:
        """Return the row; raises BadRow."""
        if len(cells) != self._width:
            raise BadRow(f"{len(cells)} cells, and the header has {self._width}")
        cells = [restored(cell) if "'" in cell else cell for cell in cells]
        try:
            text = cells[self._email]
            address = plain_address(text) or parse_address(text)
            standing = self._standing(cells)
            return ListRow(
                address_hash(address, self._key),
                line,
                str(address),
                receiving_provider(address),
                self._name(cells),
                _locale(self._first("locale", cells)) if self._has_locale else "",
                _timezone(self._first("timezone", cells)) if self._has_timezone else "",
                self._attributes(cells) if self._has_attributes else "",
                standing.value,
                self._since(standing, cells),
            )
        except BadAddress as bad:
            raise BadRow(str(bad) if text.strip() else "no address") from None
        except BadRow:
            raise
        except Refusal as bad:
            raise BadRow(str(bad)) from None

    def _first(self, name: str, cells: Sequence[str]) -> str:
        for number in self._places.get(name, ()):
            if cells[number] and (text := cells[number].strip()):
                return text
        return ""

    def _name(self, cells: Sequence[str]) -> str:
        name = self._first("name", cells)
        if not name and self._has_parts:
            first, last = self._first("first_name", cells), self._first("last_name", cells)
            name = f"{first} {last}" if first and last else first or last
        return _one_line(name, "name", _NAME_LIMIT)

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
            since = self._stated_at or self._moment("stated_at", cells)
            if self._ends_after is not None:
                end = self._ends_after(moment_of(since or self._now))
                if milliseconds(end) <= self._now:
                    raise BadRow(f"the implied consent ended on {end:%Y-%m-%d}")
            return since
        return self._moment("left_at", cells)

    def _moment(self, name: str, cells: Sequence[str]) -> int | None:
        text = self._first(name, cells)
        if not text:
            return None
        moment = _moment_in(text)
        if moment is None:
            raise BadRow(f"“{text[:40]}” is no date: write it like 2024-02-01 or 2024-02-01 09:30")
        if moment > self._now + _A_DAY:
            raise BadRow(f"the date {text[:40]} lies ahead")
        return moment

    def _attributes(self, cells: Sequence[str]) -> str:
        found: dict[str, str] = {}
        if self._columns.json_attributes is not None:
            found = _flat(cells[self._columns.json_attributes])
        for name, number in self._columns.attributes.items():
            if text := cells[number].strip():
                found[name] = _one_line(text, name, _ATTRIBUTE_LIMIT)
        return _json(found) if found else ""


_A_DAY = 86_400_000  # a clock, or a time zone, may be ahead
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_json = json.JSONEncoder(ensure_ascii=False).encode


def milliseconds(moment: datetime) -> int:
    """Return the moment as milliseconds since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


def moment_of(milliseconds_since: int) -> datetime:
    """Return the moment of so many milliseconds since 1970, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds_since)


def parse_moment(text: str) -> datetime | None:
    """Return the date and time in ISO 8601 (or `24.12.2024`); without an offset it is UTC."""
    dotted = _DOTTED.fullmatch(text.strip())
    if dotted:
        day, month, year, rest = dotted.groups()
        text = f"{year}-{int(month):02}-{int(day):02}{rest}"
    try:
        moment = datetime.fromisoformat(_ZONE_WORD.sub("", text.strip()))
        utc = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return utc if utc.year >= 1970 else None


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


@lru_cache(maxsize=50_000)
def _moment_in(text: str) -> int | None:
    moment = parse_moment(text)
    return milliseconds(moment) if moment else None


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
