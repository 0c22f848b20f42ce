"""What templates can do with a value, besides what Jinja brings: dates, directions, plain text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from babel.dates import format_date, format_time
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from mailer.domain.locales import direction
from mailer.domain.schedule import zone
from mailer.rendering.wrapping import first_direction, underlined, wrapped


def long_date(text: str, locale: str, timezone: str) -> str:
    """Write an ISO time as a date of the newsletter's zone, in the locale's words."""
    return str(format_date(_moment(text, timezone), "long", locale=_babel(locale)))


def clock_time(text: str, locale: str, timezone: str) -> str:
    """Write an ISO time as the time of day of the newsletter's zone, in the locale's way."""
    return str(format_time(_moment(text, timezone), "short", locale=_babel(locale)))


def text_dir(text: str, otherwise: str = "ltr") -> str:
    """Return `rtl` or `ltr` by the first letter that has a direction."""
    return first_direction(str(text)) or otherwise


def locale_dir(locale: str) -> str:
    """Return `rtl` or `ltr` by a locale such as `ar`."""
    return direction(locale)


@pass_context
def isolated(context: Context, text: str) -> str:
    """Keep a name's direction to itself, so that it turns nothing around it."""
    if context.eval_ctx.autoescape:
        return Markup("<bdi>{}</bdi>").format(escape(text))
    around = context.resolve("newsletter")["dir"]
    return text if first_direction(text) in (around, None) else f"\u2068{text}\u2069"


def same_language(one: str, other: str) -> bool:
    """Say whether two locales are of one language; what has none is of any."""
    return not one or one.split("-")[0].lower() == other.split("-")[0].lower()


def _moment(text: str, timezone: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(zone(timezone))


def _babel(locale: str) -> str:
    return locale.replace("-", "_")


FILTERS: dict[str, Callable[..., Any]] = {
    "long_date": long_date,
    "clock_time": clock_time,
    "text_dir": text_dir,
    "locale_dir": locale_dir,
    "isolated": isolated,
    "same_language": same_language,
    "wrapped": wrapped,
    "underlined": underlined,
}
