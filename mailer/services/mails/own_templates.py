"""The operator's own templates: a folder beside ours, and what is wrong in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mailer.checking.content import content_findings
from mailer.checking.findings import errors
from mailer.domain.errors import Refusal
from mailer.rendering import TemplateRefused
from mailer.rendering.environment import PARTS, built_in_folder, template_names
from mailer.services.mails.samples import PICTURES, sample_mail, sample_message

LAYOUT = "_layout"
"""What all mails share; a copy of it replaces ours file by file."""


_ENGLISH = "en"
_NO_CAMPAIGNS = ("approval", "checkpoint", "confirmation", "erase-request", "export-request")
_OF_THE_LIST = ("headers",)  # which a sample mail, sent to no list, has not


class CannotCopy(Refusal):
    """There is nothing to copy, or something in the way."""


@dataclass(frozen=True, slots=True)
class OwnTemplate:
    """One mail's template, and where it comes from."""

    name: str
    own: bool
    folder: Path


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """A template that cannot be rendered, in a locale; `says` names the file and the line."""

    name: str
    locale: str
    says: str


def list_templates(own_folder: Path) -> list[OwnTemplate]:
    """Return all templates by name; one of the operator's own stands for ours of that name."""
    found = []
    for name in template_names(own_folder):
        own = (own_folder / name).is_dir()
        found.append(OwnTemplate(name, own, (own_folder if own else built_in_folder()) / name))
    return found


def copy_template(name: str, new_name: str, own_folder: Path) -> Path:
    """Copy one of ours (or `_layout`) into the operator's folder; raises CannotCopy."""
    known = [*template_names(), LAYOUT]
    if name not in known:
        raise CannotCopy(f"There is no template “{name}”: choose {', '.join(known)}.")
    if Path(new_name).name != new_name or new_name.startswith("."):
        raise CannotCopy(f"“{new_name}” is no name of a folder: choose a word, such as friday.")
    if name == LAYOUT and new_name != LAYOUT:
        raise CannotCopy(f"{LAYOUT} keeps its name: the other templates look for it.")
    target = own_folder / new_name
    if target.exists():
        raise CannotCopy(f"{target} is there already: edit it, or choose another name by --as.")
    shutil.copytree(built_in_folder() / name, target)
    return target


def what_would_be_held(own_folder: Path) -> Iterator[TemplateFault]:
    """Yield the errors for which a campaign by one of the operator's templates would not go.

    Only where a sample mail can be rendered at all; those that answer a reader are no campaigns.
    """
    everywhere = (own_folder / LAYOUT).is_dir()
    pictures = {name: f"https://news.example/{name}.jpg" for name in PICTURES}
    for template in list_templates(own_folder):
        if template.name in _NO_CAMPAIGNS or not (template.own or everywhere):
            continue
        with suppress(TemplateRefused):
            message = sample_message(
                template.name, _ENGLISH, own_templates=own_folder, pictures=pictures
            )
            for error in errors(content_findings([sample_mail(message, _ENGLISH)])):
                if error.check not in _OF_THE_LIST:
                    says = f"It would be held: {error.check}: {error.what} {error.mend}"
                    yield TemplateFault(template.name, _ENGLISH, says)


def template_faults(own_folder: Path, locales: tuple[str, ...]) -> Iterator[TemplateFault]:
    """Render every template with sample content in every locale; yield what cannot be rendered."""
    pictures = {name: f"https://news.example/{name}.jpg" for name in PICTURES}
    for template in list_templates(own_folder):
        missing = [
            part
            for part in PARTS
            if not any((folder / template.name / part).is_file()
                       for folder in (own_folder, built_in_folder()))
        ]  # fmt: skip
        for part in missing:
            yield TemplateFault(template.name, "", f"{template.folder / part} is missing.")
        for locale in () if missing else locales:
            try:
                sample_message(template.name, locale, own_templates=own_folder, pictures=pictures)
            except TemplateRefused as refused:
                yield TemplateFault(template.name, locale, str(refused))
                break
