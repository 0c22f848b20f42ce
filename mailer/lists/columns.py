"""Which column is what: as the operator says, as a known export has it, or by name and content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mailer.domain.errors import Refusal
from mailer.domain.importing import Standing
from mailer.lists.standings import EXPORTS, Export, Rule, knows, plain, said
from mailer.lists.table import ADDRESS_LIKE, Table

FIELDS = (
    "email", "name", "first_name", "last_name", "locale", "timezone", "status", "stated_at",
    "left_at",
)  # fmt: skip
ATTRIBUTE = "attribute."

_NAMES = {
    "email": (
        "email emailaddress mail mailaddress emailadresse mailadresse adressemail adresseemail "
        "courriel correo correoelectronico epost epostadresse"
    ),
    "name": "name fullname displayname subscribername",
    "first_name": "firstname givenname fname vorname prenom",
    "last_name": "lastname surname familyname lname nachname",
    "locale": "locale language lang preferredlanguage sprache langue",
    "timezone": "timezone zeitzone",
    "status": "status subscribed subscriptionstatus emailstatus subscriberstatus optin",
    "stated_at": (
        "consentdate consentedat consentat optintime optinat optindate confirmtime confirmedat "
        "confirmtimestamp subscribedat subscribedon subscriptiondate signupdate signedupat"
    ),
    "left_at": "unsubscribedat unsubscribedon unsubtime unsubscribedate optoutdate optouttime",
}
_MOST = 0.6
"""Of the filled cells so many must look like what they are taken for."""


class UnclearColumns(Refusal):
    """It cannot be told which column is meant; the message lists the columns."""

    def __init__(self, message: str, field_name: str, columns: Sequence[str]) -> None:
        super().__init__(message)
        self.field = field_name
        self.columns = tuple(columns)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where to find what in a row: numbers of columns, in the order in which they count."""

    places: Mapping[str, tuple[int, ...]]
    rules: Mapping[int, Rule]
    attributes: Mapping[str, int]
    json_attributes: int | None = None
    otherwise: Standing = Standing.SUBSCRIBED
    """What a row is where no column says how the reader stands."""
    recognised: str = ""
    named: Mapping[str, str] = field(default_factory=dict)
    """For people: what was taken from which column."""

    @property
    def email(self) -> int:
        """The column of addresses."""
        return self.places["email"][0]


def find_columns(
    table: Table,
    asked: Mapping[str, str],
    looks: Mapping[str, Callable[[str], bool]],
) -> Columns:
    """Return the columns; raises UnclearColumns.

    `asked` is what the operator says, field → column (an empty one: none); `looks` says of a field
    whether a cell looks like it.
    """
    export = _export(table)
    places = {
        name: places
        for name in FIELDS
        if name not in ("status", *asked) and (places := _known(table, export, name, looks))
    }
    attributes = _numbers(table, export.attributes) if export else {}
    rules = (
        {
            number: rule
            for name, rule in export.rules.items()
            for number in _numbers(table, [name]).values()
        }
        if export
        else _status_rules(table)
    )
    for name, column in asked.items():
        numbers = (_column(table, name, column),) if column else ()
        if name == "status":
            rules = dict.fromkeys(numbers, said)
        elif name.startswith(ATTRIBUTE):
            attributes = {**attributes, **{name.removeprefix(ATTRIBUTE): each for each in numbers}}
        else:
            places = {**places, name: numbers}
    places = {name: numbers for name, numbers in places.items() if numbers}
    if "email" not in places:
        places["email"] = (_by_content(table),)
    json_attributes = _numbers(table, [export.json_attributes]).values() if export else ()
    return Columns(
        places,
        rules,
        attributes,
        json_attributes=next(iter(json_attributes), None),
        otherwise=_otherwise(table, export),
        recognised=export.name if export else "",
        named=_named(table, places, rules, attributes),
    )


def _export(table: Table) -> Export | None:
    names = {plain(column) for column in table.columns}
    return next((export for export in EXPORTS if export.known_by <= names), None)


def _otherwise(table: Table, export: Export | None) -> Standing:
    name = table.file.path.name.casefold()
    for begin, standing in (export.file_names if export else {}).items():
        if name.startswith(begin):
            return standing
    return Standing.SUBSCRIBED


def _known(
    table: Table,
    export: Export | None,
    name: str,
    looks: Mapping[str, Callable[[str], bool]],
) -> tuple[int, ...]:
    """Return the columns of a field that a known export has, or whose name and content fit."""
    if export:
        return tuple(_numbers(table, export.fields.get(name, ())).values())
    words = _NAMES[name].split()
    found = [
        number
        for number, column in enumerate(table.columns)
        if plain(column) in words and _looks_so(table, number, looks.get(name))
    ]
    if len(found) > 1:
        raise _unclear(table, name, "More than one column could be")
    return tuple(found)


def _status_rules(table: Table) -> dict[int, Rule]:
    words = _NAMES["status"].split()
    found: dict[int, Rule] = {
        number: said
        for number, column in enumerate(table.columns)
        if plain(column) in words or (plain(column) == "state" and _looks_so(table, number, knows))
    }
    return found


def _numbers(table: Table, names: Iterable[str]) -> dict[str, int]:
    """Return the columns with these plain names that are there, in the order of the names."""
    places: dict[str, int] = {}
    for number, column in enumerate(table.columns):
        places.setdefault(plain(column), number)
    return {name: places[name] for name in names if name in places}


def _column(table: Table, name: str, column: str) -> int:
    found = [number for number, each in enumerate(table.columns) if each == column.strip()]
    if not found:
        same = plain(column)
        found = [number for number, each in enumerate(table.columns) if plain(each) == same]
    if len(found) != 1:
        there = "There is no column" if not found else "More than one column is called"
        raise UnclearColumns(
            f"{there} “{column}” in {table.file.path}. {_columns_of(table)}", name, table.columns
        )
    return found[0]


def _by_content(table: Table) -> int:
    found = [
        number
        for number in range(len(table.columns))
        if _looks_so(table, number, lambda cell: bool(ADDRESS_LIKE.fullmatch(cell)))
    ]
    if len(found) != 1:
        begin = "More than one column could be" if found else "No column can be told to be"
        raise _unclear(table, "email", begin)
    return found[0]


def _looks_so(table: Table, number: int, looks: Callable[[str], bool] | None) -> bool:
    if looks is None:
        return True
    cells = [row[number] for row in table.sample if number < len(row) and row[number].strip()]
    return bool(cells) and sum(map(looks, cells)) >= _MOST * len(cells)


def _unclear(table: Table, name: str, begin: str) -> UnclearColumns:
    return UnclearColumns(
        f"{begin} the {name.replace('_', ' ')} in {table.file.path}: say "
        f"--map {name}=COLUMN. {_columns_of(table)}",
        name,
        table.columns,
    )


def _columns_of(table: Table) -> str:
    listed = ", ".join(f"“{column}”" for column in table.columns)
    words = "Its columns are" if table.has_header else "It has no header; its columns are"
    return f"{words} {listed}."


def _named(
    table: Table,
    places: Mapping[str, tuple[int, ...]],
    rules: Mapping[int, Rule],
    attributes: Mapping[str, int],
) -> dict[str, str]:
    def words(numbers: Iterable[int]) -> str:
        return ", ".join(table.columns[number] for number in numbers)

    named = {name: words(places[name]) for name in FIELDS if name in places}
    if rules:
        named["status"] = words(sorted(rules))
    return {**named, **{f"{ATTRIBUTE}{name}": words([at]) for name, at in attributes.items()}}
