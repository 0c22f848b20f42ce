"""Documents for people and authorities: self-contained HTML, and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.lists import format_list
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from mailer.domain.locales import direction
from mailer.locales import SOURCE, catalogue_for, own_name, said, spoken, translations


def personal_data_html(document: Mapping[str, Any], *, locale: str, timezone: str) -> str:
    """Return everything about one person as one HTML page that needs nothing else.

    It speaks the locale's language, or English where it has no catalogue; times are those of the
    time zone, facts those of the document.
    """
    written = spoken(locale)
    return (
        _environment(catalogue_for(locale))
        .get_template("personal_data.html")
        .render(document=document, locale=written, dir=direction(written), timezone=timezone)
    )


def processing_record_markdown(record: Mapping[str, Any]) -> str:
    """Return the record of processing activities as Markdown."""
    return _environment(SOURCE).get_template("processing_record.md").render(record=record)


def campaign_check_html(
    report: Mapping[str, Any], *, views: Sequence[Mapping[str, Any]], preheader: str, text: str,
    at: str,
) -> str:  # fmt: skip
    """Return what a check found as one HTML page; `views` are name, width and PNG in base64."""
    return (
        _environment(SOURCE)
        .get_template("campaign_check.html")
        .render(report=report, views=views, preheader=preheader, text=text, at=at)
    )


def documents_folder() -> Path:
    """Return where these templates are: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "templates" / "documents"
    return installed if installed.is_dir() else package.parent / "templates" / "documents"


@pass_context
def _moment(context: Context, at: datetime | None) -> str:
    """Write a time as the reader does."""
    if at is None:
        return "–"
    zone, locale = ZoneInfo(context["timezone"]), context["locale"].replace("-", "_")
    return str(format_datetime(at, "medium", tzinfo=zone, locale=locale))


@pass_context
def _day(context: Context, at: datetime) -> str:
    zone, locale = ZoneInfo(context["timezone"]), context["locale"].replace("-", "_")
    return str(format_date(at.astimezone(zone), "long", locale=locale))


@pass_context
def _listed(context: Context, value: object) -> Markup:
    """Write a value, or several as the language lists them; each keeps its direction to itself."""
    values = value if isinstance(value, list | tuple) else [value]
    written = [str(Markup("<bdi>{}</bdi>").format(each)) for each in values]
    return Markup(format_list(written, locale=context["locale"].replace("-", "_")))


def _cell(value: object) -> str:
    """Write a value as a cell of a Markdown table: one line, and nothing that ends the cell."""
    words = " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|")
    return words.replace("<", "&lt;") or "–"


@cache
def _environment(language: str) -> Environment:
    spoken_here = translations(language)
    environment = Environment(
        loader=FileSystemLoader(documents_folder()),
        autoescape=lambda name: bool(name and name.endswith(".html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(spoken_here, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(moment=_moment, day=_day, listed=_listed, cell=_cell)
    environment.filters.update(language=own_name, locale_dir=direction)
    environment.filters["said"] = partial(said, language=spoken_here)
    return environment
