"""How a newsletter's mails look, as its operator sets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from mailer.domain.themes import SETTINGS, theme_of
from mailer.store.models import Newsletter


def set_theme(
    session: Session, newsletter: Newsletter, changes: Mapping[str, str]
) -> tuple[str, ...]:
    """Change what is named and keep the rest; an empty value is as if it had never been set.

    Return what had to be adjusted, a sentence each. Raises BadTheme, and changes nothing, where
    a text could not be read. What has been compiled already keeps its look.
    """
    settings = {**newsletter.theme, **changes}
    settings = {name: value for name, value in settings.items() if value != ""}
    theme = theme_of({name: _plain(name, value) for name, value in settings.items()})
    newsletter.theme = {name: _plain(name, value) for name, value in settings.items()}
    session.flush()
    return theme.adjusted


def reset_theme(session: Session, newsletter: Newsletter) -> None:
    """Forget everything that was set."""
    newsletter.theme = {}
    session.flush()


def theme_fields(newsletter: Newsletter) -> dict[str, Any]:
    """Return the theme as it is used, and which of its settings were set."""
    theme = asdict(theme_of(newsletter.theme))
    return {
        "newsletter": newsletter.slug,
        **{name: theme[name] for name in ("logo", "logo_alt", "logo_width", "font", "footer")},
        "light": theme["light"],
        "dark": theme["dark"],
        "adjusted": list(theme["adjusted"]),
        "set": [name for name in SETTINGS if name in newsletter.theme],
    }


def _plain(name: str, value: str) -> str:
    """Return a colour in small letters, anything else without spaces around it."""
    value = value.strip()
    return value.lower() if value.startswith("#") and name != "footer" else value
