"""Writes `catalogues/messages.pot` from the templates and the program, and updates the catalogues.

`python -m mailer.locales.extract`; a test compares, so that no sentence is forgotten. What is new
in a catalogue is empty, what has changed is fuzzy, and what is said no more goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from mailer.locales.catalogues import FOLDER, LANGUAGES, READ, SOURCE, TEMPLATE

_PROJECT = Path(__file__).resolve().parent.parent.parent
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "N_": None}
_OPTIONS = {"silent": "false", "trimmed": "true"}
_SOURCES = (
    ("templates", [("**.html", "jinja2"), ("**.txt", "jinja2")], ("static",)),
    ("mailer", [(f"{part}/**.py", "python") for part in ("domain", "services", "web")], ()),
)


def extracted() -> Catalog:
    """Return every message of a checkout, by file, without line numbers: they change too often."""
    catalogue = Catalog(project="newsroom-mailer", charset="utf-8", header_comment=_HEADER)
    for file, message, comments in sorted(_found(), key=str):
        catalogue.add(message, locations=[(file, 0)], auto_comments=comments)
    return catalogue


UNREAD = "No native speaker has read it yet: corrections are welcome."
_HEADER = "# Every sentence that readers see. Written by `make messages`: do not edit."


def _found() -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    for folder, methods, skipped in _SOURCES:
        found = extract_from_dir(
            _PROJECT / folder,
            method_map=methods,
            options_map={"**": _OPTIONS},
            keywords=_KEYWORDS,
            comment_tags=("For translators:",),
            directory_filter=partial(_is_read, skipped),
        )
        for file, _line, message, comments, _context in found:
            yield f"{folder}/{Path(file).as_posix()}", message, tuple(comments)


def _is_read(skipped: Collection[str], path: str) -> bool:
    return Path(path).name not in skipped


def as_text(catalogue: Catalog) -> str:
    """Return the catalogue as a .po file without anything that depends on the time."""
    buffer = BytesIO()
    write_po(
        buffer,
        catalogue,
        width=100,
        omit_header=False,
        sort_by_file=False,
        ignore_obsolete=True,
        include_lineno=False,
    )
    lines = buffer.getvalue().decode().splitlines()
    dated = (
        '"POT-Creation-Date',
        '"PO-Revision-Date',
        '"Generated-By',
        '"Report-Msgid',
        '"Last-Tr',
    )
    return "\n".join(line for line in lines if not line.startswith(dated)) + "\n"


def _header(language: str) -> str:
    name = Locale.parse(language).get_display_name("en")
    read = "A native speaker has read it." if language in READ else UNREAD
    return f"# {name}. {read}"


def main() -> None:
    """Write the template, and bring every catalogue up to it."""
    FOLDER.mkdir(exist_ok=True)
    template = extracted()
    TEMPLATE.write_text(as_text(template), "utf-8")
    for language in LANGUAGES:
        if language == SOURCE:
            continue
        path = FOLDER / f"{language}.po"
        catalogue = Catalog(locale=language, project="newsroom-mailer", charset="utf-8")
        if path.exists():
            with path.open("rb") as file:
                catalogue = read_po(file, locale=language)
        catalogue.update(template)
        catalogue.header_comment = _header(language)
        catalogue.fuzzy = False  # of the header, which says nothing that could be wrong
        path.write_text(as_text(catalogue), "utf-8")


if __name__ == "__main__":
    main()
