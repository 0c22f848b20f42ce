"""The sandbox in which templates run, and the folder they come from."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
)
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from mailer.domain.errors import Refusal
from mailer.domain.locales import direction
from mailer.domain.themes import theme_of
from mailer.locales import translations
from mailer.rendering import filters
from mailer.rendering.looks import look
from mailer.rendering.slots import Slot
from mailer.rendering.wrapping import tidy

_LONGEST_OUTPUT = 2_000_000
PARTS = ("subject.txt", "preheader.txt", "body.html", "body.txt")


class TemplateRefused(Refusal):
    """A template cannot be rendered; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """One mail's folder of templates: subject, preheader, HTML body, text body."""

    name: str
    environment: ImmutableSandboxedEnvironment
    locale: str = "en"

    def render(self, part: str, context: Mapping[str, Any]) -> str:
        """Render one of `PARTS`; raises TemplateRefused with file and line."""
        file = f"{self.name}/{part}"
        try:
            pieces, length = [], 0
            for piece in self.environment.get_template(file).generate(context):
                length += len(piece)
                if length > _LONGEST_OUTPUT:
                    raise TemplateRefused(
                        f"Template {file} writes more than {_LONGEST_OUTPUT} characters: "
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
        except TemplateRefused:
            raise
        except Exception as error:  # a template is a program: it can fail in every way there is
            _refuse(file, error)


class _Sandbox(ImmutableSandboxedEnvironment):
    """The immutable sandbox, in which a product cannot grow beyond what a mail may hold."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply; raises SecurityError where the outcome would be too large."""
        number = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" and not (number and abs(left) <= 1_000 and abs(right) <= 10):
            raise SecurityError("this power is too large for a mail")
        if operator == "*" and not number:
            sized = left if hasattr(left, "__len__") else right
            times = right if sized is left else left
            if isinstance(times, int) and len(sized) * times > _LONGEST_OUTPUT:
                raise SecurityError("this repetition is too long for a mail")
        return super().call_binop(context, operator, left, right)


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
def _environment(
    folders: tuple[Path, ...], locale: str, own_files: frozenset[str]
) -> ImmutableSandboxedEnvironment:
    """Return the sandbox; it is kept, for Jinja takes longer to compile than premailer to inline.

    A file that changes is read again; one that is added or taken away makes a sandbox of its own.
    """
    environment = _Sandbox(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        autoescape=lambda name: bool(name and name.endswith(".html")),
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(  # type: ignore[attr-defined]
        translations(locale), newstyle=True
    )
    environment.globals["theme"] = look(theme_of({}), locale)  # unless the mail has its own
    environment.filters.update(filters.FILTERS)
    return environment


def _finalize(value: object) -> object:
    """Let a slot stand for itself; everywhere else its text is not to be had."""
    return Markup(value.sentinel) if isinstance(value, Slot) else value


def _refuse(file: str, error: Exception) -> NoReturn:
    frames = traceback.extract_tb(error.__traceback__)
    templates = [frame for frame in frames if frame.filename.endswith((".html", ".txt"))]
    line = f", line {templates[-1].lineno}" if templates else ""
    said = str(error).rstrip(".") or type(error).__name__
    where = "/".join(Path(templates[-1].filename).parts[-2:]) if templates else file
    raise TemplateRefused(f"Template {where}{line}: {said}. Mend the template.") from None
