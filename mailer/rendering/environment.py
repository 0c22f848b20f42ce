"""The sandbox in which templates run, and the folder they come from."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailer.domain.errors import Refusal
from mailer.domain.locales import direction
from mailer.domain.themes import theme_of
from mailer.locales import translations
from mailer.rendering import filters
from mailer.rendering.looks import look
from mailer.rendering.personal.deferred import SlotMisused
from mailer.rendering.personal.tracing import TracingEnvironment
from mailer.rendering.sandbox import LONGEST_OUTPUT, CannotWorkOut, ReaderSandbox
from mailer.rendering.wrapping import tidy

PARTS = ("subject.txt", "preheader.txt", "body.html", "body.txt")


class TemplateRefused(Refusal):
    """A template cannot be rendered; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """One mail's folder of templates: subject, preheader, HTML body, text body."""

    name: str
    environment: TracingEnvironment
    locale: str = "en"

    def render(self, part: str, context: Mapping[str, Any]) -> str:
        """Render one of `PARTS`; raises TemplateRefused with file and line."""
        file = f"{self.name}/{part}"
        try:
            pieces, length = [], 0
            for piece in self.environment.get_template(file).generate(context):
                length += len(piece)
                if length > LONGEST_OUTPUT:
                    raise TemplateRefused(
                        f"Template {file} writes more than {LONGEST_OUTPUT} characters: "
                        "shorten its loops."
                    )
                pieces.append(piece)
            written = "".join(pieces)
            return tidy(written, direction(self.locale)) if part == "body.txt" else written
        except TemplateNotFound as error:
            raise TemplateRefused(f"Template {error} is missing: add the file.") from None
        except TemplateSyntaxError as error:
            raise TemplateRefused(
                f"Template {error.name or file}, line {error.lineno}: {error.message}."
            ) from None
        except (TemplateRefused, CannotWorkOut):
            raise
        except SlotMisused as error:
            raise TemplateRefused(f"Template {error}. Mend the template.") from None
        except Exception as error:  # a template is a program: it can fail in every way there is
            _refuse(file, error)


def load_template(name: str, own_folder: Path | None = None, locale: str = "en") -> MessageTemplate:
    """Return the named mail, from the operator's own folder if it is there, else from ours.

    Its sentences are those of the locale's catalogue; what that lacks stays English.
    """
    known = template_names(own_folder)
    if name not in known:
        raise TemplateRefused(f"There is no template “{name}”: there are {', '.join(known)}.")
    folders = tuple(folder for folder in (own_folder, built_in_folder()) if folder is not None)
    return MessageTemplate(name, _environment(folders, locale, _files(own_folder)), locale)


def template_names(own_folder: Path | None = None) -> list[str]:
    """Return the names of all mails: the operator's own, and ours."""
    folders = [folder for folder in (own_folder, built_in_folder()) if folder is not None]
    return sorted(
        {
            path.name
            for folder in folders
            if folder.is_dir()
            for path in folder.iterdir()
            if path.is_dir() and not path.name.startswith("_")
        }
    )


def built_in_folder() -> Path:
    """Return where the project's own mails are: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "templates" / "email"
    return installed if installed.is_dir() else package.parent / "templates" / "email"


def _files(folder: Path | None) -> frozenset[str]:
    """Return the names of the operator's own files: one that is new stands for one of ours."""
    if folder is None or not folder.is_dir():
        return frozenset()
    return frozenset(str(path) for path in folder.rglob("*"))


@lru_cache(maxsize=32)
def reader_environment(locale: str) -> ImmutableSandboxedEnvironment:
    """Return the sandbox in which readers' values are worked out, in the words of a locale.

    What is missing there is empty: a reader without a city breaks no mail.
    """
    environment = _fitted(ReaderSandbox(), locale)
    environment.globals["newsletter"] = {"dir": direction(locale)}
    return environment


@lru_cache(maxsize=32)
def _environment(
    folders: tuple[Path, ...], locale: str, own_files: frozenset[str]
) -> TracingEnvironment:
    """Return the sandbox; it is kept, for Jinja takes longer to compile than premailer to inline.

    A file that changes is read again; one that is added or taken away makes a sandbox of its own.
    """
    environment = TracingEnvironment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        autoescape=lambda name: bool(name and name.endswith(".html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    _fitted(environment, locale)
    environment.globals["theme"] = look(theme_of({}), locale)  # unless the mail has its own
    environment.lift()
    return environment


T = TypeVar("T", bound=ImmutableSandboxedEnvironment)


def _fitted(environment: T, locale: str) -> T:
    environment.add_extension("jinja2.ext.i18n")
    environment.install_gettext_translations(  # type: ignore[attr-defined]
        translations(locale), newstyle=True
    )
    environment.filters.update(filters.FILTERS)
    environment.filters["places_for"] = places_for
    environment.filters["at"] = _at
    environment.globals["decided"] = _decided
    return environment


def places_for(
    sections: Sequence[str], topics: Sequence[Mapping[str, Any]], chosen: Collection[str]
) -> list[int]:
    """Return the places of those `sections` that a reader with the `chosen` topics is shown.

    Whoever chose none is shown all; a section that no topic stands for is shown to all. Where
    nothing would be left, everything is: nobody gets an empty mail.
    """
    everything = list(range(len(sections)))
    if not chosen:
        return everything
    wanted = {name for topic in topics if topic["slug"] in chosen for name in topic["sections"]}
    others = {name for topic in topics for name in topic["sections"]} - wanted
    return [place for place in everything if sections[place].casefold() not in others] or everything


def _at(items: Sequence[Any], places: Sequence[int]) -> list[Any]:
    """Return the items at these places."""
    return [items[place] for place in places]


def _decided(value: Any) -> Any:
    """Return the value; a mail is compiled for each that it has among the readers."""
    return value


def _refuse(file: str, error: Exception) -> NoReturn:
    frames = traceback.extract_tb(error.__traceback__)
    templates = [frame for frame in frames if frame.filename.endswith((".html", ".txt"))]
    line = f", line {templates[-1].lineno}" if templates else ""
    said = str(error).rstrip(".") or type(error).__name__
    where = "/".join(Path(templates[-1].filename).parts[-2:]) if templates else file
    raise TemplateRefused(f"Template {where}{line}: {said}. Mend the template.") from None
