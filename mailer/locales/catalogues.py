"""The catalogues: which languages there are, and what is missing in each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

SOURCE = "en"
"""The language of the templates; it needs no catalogue."""
LANGUAGES = (SOURCE, "am", "ar", "fr", "ha", "pt", "sw")
"""Every language that mails and pages speak."""
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")

READ = frozenset({SOURCE})
"""The languages whose words a native speaker has read from beginning to end."""

FOLDER = Path(__file__).parent / "catalogues"
TEMPLATE = FOLDER / "messages.pot"
"""All messages there are, as they were last extracted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A message that readers get in English, or in words that nobody has looked at since."""

    language: str
    message: str
    kind: str  # missing, fuzzy, unknown (no template says it any more), placeholders


def catalogue_for(locale: str) -> str:
    """Return the language of LANGUAGES that a locale such as `pt-BR` is spoken to in."""
    language = locale.replace("_", "-").split("-")[0].lower()
    return language if language in LANGUAGES else SOURCE


def spoken(locale: str) -> str:
    """Return the locale that a page for it is written in: itself where we speak its language.

    Else English; where the rest of it makes no locale (`pt-x1`), its language alone.
    """
    language = catalogue_for(locale)
    try:
        parsed = Locale.parse(locale, sep="-")
    except (UnknownLocaleError, ValueError, TypeError):
        return language
    return locale if parsed.language == language else language


def own_name(language: str) -> str:
    """Return a locale's name in its own words, such as `français`; an unknown one is its code."""
    try:
        parsed = Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        return language
    name = parsed.get_display_name(parsed) or language
    return name[:1].upper() + name[1:]


@lru_cache(maxsize=len(LANGUAGES))
def _compiled(language: str) -> NullTranslations:
    if language == SOURCE:
        return NullTranslations()
    buffer = BytesIO()
    write_mo(buffer, _read(FOLDER / f"{language}.po", language))  # leaves out what is fuzzy
    buffer.seek(0)
    return Translations(buffer)


def translations(locale: str) -> NullTranslations:
    """Return what translates into the locale's language; a missing message stays English."""
    return _compiled(catalogue_for(locale))


def faults() -> Iterator[Fault]:
    """Yield every message that is missing, fuzzy, unknown or broken, by language."""
    wanted = {_key(message): message for message in _read(TEMPLATE, SOURCE) if message.id}
    for language in LANGUAGES:
        if language != SOURCE:
            yield from _faults_of(language, wanted)


def _faults_of(language: str, wanted: dict[str, Message]) -> Iterator[Fault]:
    catalogue = _read(FOLDER / f"{language}.po", language)
    there = {_key(message): message for message in catalogue if message.id}
    for key in wanted:
        message = there.get(key)
        if message is None or not _complete(message):
            yield Fault(language, key, "missing")
        elif message.fuzzy:
            yield Fault(language, key, "fuzzy")
        elif not _says_the_same(message):
            yield Fault(language, key, "placeholders")
    for key in there.keys() - wanted.keys():
        yield Fault(language, key, "unknown")


def _complete(message: Message) -> bool:
    return all(_forms(message))


def _forms(message: Message) -> tuple[str, ...]:
    said = message.string
    return (said or "",) if isinstance(said, str | None) else tuple(said)


def _says_the_same(message: Message) -> bool:
    """Say whether every form names what the English names; a plural may leave its number out."""
    wanted = set(_PLACEHOLDER.findall(_key(message)))
    plural = not isinstance(message.id, str)
    for form in _forms(message):
        named = set(_PLACEHOLDER.findall(form))
        if named - wanted or (wanted - named and not plural) or "%" in _PLACEHOLDER.sub("", form):
            return False
    return True


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else str(message.id[0])


def _read(path: Path, language: str) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language)
