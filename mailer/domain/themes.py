"""How a newsletter's mails look: logo, colours, fonts, footer; what cannot be read is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from mailer.domain.colours import READABLE, contrast, is_colour, mix, readable_on
from mailer.domain.errors import Refusal
from mailer.domain.fonts import FONTS

LARGEST_LOGO = 520
"""The width of a mail's text in pixels."""
LONGEST_FOOTER = 1_000

COLOURS = {
    "accent": "#9a3412", "paper": "#f3f0ea", "sheet": "#ffffff", "ink": "#1f1b16",
    "quiet": "#5f574d",
    "dark_accent": "#fba973", "dark_paper": "#15130f", "dark_sheet": "#1f1c17",
    "dark_ink": "#f2ece0", "dark_quiet": "#b5ab9b",
}  # fmt: skip
"""Every colour that can be set, and what it is when it is not."""

_ON_ACCENT = ("#ffffff", "#1f1b16", "#000000")
"""What buttons are written in: the first that can be read; on any colour, one of them can."""
_CLEAR = 6.0
"""The contrast of an accent that we choose ourselves: one that is just readable looks dull."""
_PICTURES = (".png", ".jpg", ".jpeg")


class BadTheme(Refusal):
    """A theme that would be hard to read or that mail programs cannot show."""


@dataclass(frozen=True, slots=True)
class Palette:
    """All colours of one scheme; every text is readable on every ground it stands on."""

    accent: str
    paper: str
    sheet: str
    ink: str
    quiet: str
    line: str
    tint: str
    on_accent: str


@dataclass(frozen=True, slots=True)
class Theme:
    """A theme in which everything is decided."""

    light: Palette
    dark: Palette
    font: str
    logo: str
    logo_alt: str
    logo_width: int
    footer: str
    adjusted: tuple[str, ...] = ()
    """What was changed so that it can be read, one sentence each."""


def theme_of(settings: Mapping[str, str]) -> Theme:
    """Return the theme that the settings ask for; raises BadTheme, saying what would do.

    Colours that are not set follow those that are: a dark accent is lightened until it can be
    read, and `adjusted` says so. A pair that was set and cannot be read is refused.
    """
    return _decided(tuple(sorted(settings.items())))


@lru_cache(maxsize=256)
def _decided(items: tuple[tuple[str, str], ...]) -> Theme:
    """Decide once: it takes milliseconds to look for a colour, and sign-ups come by the hundred."""
    settings = dict(items)
    for name in settings:
        if name not in SETTINGS:
            raise BadTheme(f"A theme has no “{name}”: it has {', '.join(SETTINGS)}.")
    colours, adjusted = _colours(settings)
    font = settings.get("font", "newspaper")
    if font not in FONTS:
        raise BadTheme(f"“{font}” is no font: choose {', '.join(FONTS)}.")
    logo, logo_alt, logo_width = _logo(settings)
    return Theme(
        light=_palette(colours, "", settings),
        dark=_palette(colours, "dark_", settings),
        font=font,
        logo=logo,
        logo_alt=logo_alt,
        logo_width=logo_width,
        footer=_footer(settings),
        adjusted=tuple(adjusted),
    )


def _colours(settings: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    for name in COLOURS:
        if name in settings and not is_colour(settings[name]):
            raise BadTheme(f"“{settings[name]}” is no colour for {name}: write it as #9a3412.")
    colours = {name: settings.get(name, default) for name, default in COLOURS.items()}
    adjusted = []
    if "accent" in settings and "dark_accent" not in settings:
        ground = colours["dark_sheet"]
        wanted = colours["accent"]
        found = readable_on(wanted, ground, _tint(colours, "dark_"), least=_CLEAR)
        if found is not None:
            colours["dark_accent"] = found
        if found is not None and found != wanted:
            adjusted.append(
                f"In dark mode the accent {wanted} has a contrast of "
                f"{contrast(wanted, ground):.1f}:1 on {ground}: there it is {found}."
            )
    return colours, adjusted


def _palette(colours: Mapping[str, str], scheme: str, settings: Mapping[str, str]) -> Palette:
    named = {name: colours[scheme + name] for name in ("accent", "paper", "sheet", "ink", "quiet")}
    tint = _tint(colours, scheme)
    dark = scheme.replace("_", "-")
    for name in ("ink", "quiet", "accent"):
        grounds = {"sheet": named["sheet"], "quotations": tint}
        if name == "quiet":
            grounds["paper"] = named["paper"]
        for ground, colour in grounds.items():
            if contrast(named[name], colour) < READABLE:
                advice = _advice(scheme, name, named[name], grounds, settings)
                raise BadTheme(
                    f"{dark}{name} {named[name]} cannot be read on {dark}{ground} {colour}: "
                    f"the contrast is {contrast(named[name], colour):.2f}:1, and {READABLE}:1 is "
                    f"needed: {advice}."
                )
    on_accent = (ink for ink in _ON_ACCENT if contrast(ink, named["accent"]) >= READABLE)
    line = mix(named["sheet"], named["ink"], 0.14)
    return Palette(**named, tint=tint, line=line, on_accent=next(on_accent))


def _advice(
    scheme: str, name: str, colour: str, grounds: Mapping[str, str], settings: Mapping[str, str]
) -> str:
    """Return what to do about a text that cannot be read."""
    if scheme + name not in settings:
        return f"choose other grounds, or give {scheme.replace('_', '-')}{name} too"
    better = readable_on(colour, *grounds.values())
    return f"{better} would do" if better else "choose other grounds too"


def _tint(colours: Mapping[str, str], scheme: str) -> str:
    """Return the ground of quotations: towards the paper in light, out of the dark in dark."""
    sheet, paper, ink = (colours[scheme + name] for name in ("sheet", "paper", "ink"))
    return mix(sheet, ink, 0.06) if scheme else mix(mix(sheet, paper, 0.5), ink, 0.02)


def _logo(settings: Mapping[str, str]) -> tuple[str, str, int]:
    logo, alt = settings.get("logo", ""), settings.get("logo_alt", "")
    width = settings.get("logo_width", "200")
    if not (logo + alt).isprintable() or " " in logo:
        raise BadTheme(
            "The logo's address and its words are one line each, without odd characters."
        )
    if logo and not logo.startswith(("https://", "http://")):
        raise BadTheme("The logo must be an address that begins with https://.")
    if logo and not logo.split("?")[0].lower().endswith(_PICTURES):
        raise BadTheme("The logo must be a PNG or a JPEG: not every mail program shows others.")
    if logo and not alt:
        raise BadTheme(
            "A logo needs --logo-alt: the words that stand where pictures are not shown."
        )
    if not width.isascii() or not width.isdigit() or not 16 <= int(width) <= LARGEST_LOGO:
        raise BadTheme(f"The logo's width is a number of pixels from 16 to {LARGEST_LOGO}.")
    return logo, alt, int(width)


def _footer(settings: Mapping[str, str]) -> str:
    footer = settings.get("footer", "").strip()
    if len(footer) > LONGEST_FOOTER:
        raise BadTheme(f"The footer has more than {LONGEST_FOOTER} characters: shorten it.")
    if any(not (character.isprintable() or character == "\n") for character in footer):
        raise BadTheme("The footer must be plain text; lines may be broken.")
    return footer


SETTINGS = ("logo", "logo_alt", "logo_width", *COLOURS, "font", "footer")
"""Everything that a theme can say."""
