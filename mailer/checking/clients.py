"""What the mail's HTML and CSS ask of mail clients, against what caniemail.com found in tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from urllib.parse import urlsplit

from lxml.html import HtmlElement

from mailer.checking.css import Declaration, read_style
from mailer.checking.findings import Finding, Level
from mailer.checking.mail import Mail, place
from mailer.domain.errors import Refusal

USUAL = (
    "gmail.desktop-webmail", "gmail.ios", "gmail.android",
    "apple-mail.macos", "apple-mail.ios",
    "outlook.windows", "outlook.outlook-com", "outlook.ios",
    "yahoo.desktop-webmail", "yahoo.android",
    "samsung-email.android",
)  # fmt: skip
"""The clients that most readers have."""

_BREAKS = frozenset(
    {
        "css-display-flex", "css-display-grid", "css-grid-template", "css-position", "css-float",
        "css-variables", "css-background-image", "css-function-clamp", "css-function-max",
        "css-function-min", "css-function-light-dark", "css-modern-color", "css-nesting",
        "css-at-import", "css-unit-vw", "css-unit-vh", "css-unit-calc", "css-inset",
        "css-transform", "css-visibility", "css-writing-mode", "css-column-count",
        "html-audio", "html-video", "html-form", "html-svg", "html-link", "html-base",
        "html-button-submit", "html-button-reset", "html-input-text", "html-input-checkbox",
        "html-input-radio", "html-input-submit", "html-input-reset", "html-select",
        "html-textarea", "html-object", "html-dialog", "html-popover", "html-marquee",
        "html-picture", "html-image-maps", "html-progress", "html-meter", "html-background",
        "image-avif", "image-webp", "image-svg", "image-base64", "image-bmp", "image-ico",
        "image-tiff", "image-heif", "image-mp4",
    }
)  # fmt: skip
"""Where these are missing, something cannot be seen or stands in the wrong place; without the
others a mail is only plainer."""

_MOST_CLIENTS = 4
_FUNCTION = re.compile(r"([a-z-]+)\(")
_UNIT = re.compile(r"(?<![\w#-])-?\d*\.?\d+([a-z]{1,4})\b")
_PSEUDO = re.compile(r"::?[a-z-]+")
_MEDIA_FEATURE = re.compile(r"[a-z-]+")
_MOST_VALUES = 20_000


class NoSuchClient(Refusal):
    """No mail client has this name."""


@dataclass(frozen=True, slots=True)
class _Feature:
    slug: str
    title: str
    support: str


@dataclass(frozen=True, slots=True)
class _Data:
    tested_until: str
    clients: dict[str, str]
    by_sign: dict[str, _Feature]


def tested_until() -> str:
    """Return the day of the newest test in the data."""
    return _data().tested_until


def chosen_clients(names: Sequence[str]) -> tuple[str, ...]:
    """Return the clients by their names, of a whole family by its own; raises NoSuchClient."""
    known = _data().clients
    found: list[str] = []
    for name in names:
        mine = [each for each in known if each == name or each.startswith(f"{name}.")]
        if not mine:
            raise NoSuchClient(f"No client is called “{name}”: there are {', '.join(known)}.")
        found.extend(mine)
    return tuple(dict.fromkeys(found)) or USUAL


def client_findings(mail: Mail, clients: Sequence[str] = USUAL) -> Iterator[Finding]:
    """Name what the clients lack: each that breaks a mail, and in one note all the rest."""
    data, order = _data(), list(_data().clients)
    plainer = []
    found: dict[str, tuple[_Feature, str]] = {}
    for sign, where in _signs(mail):
        feature = data.by_sign.get(sign)
        if feature is not None:
            found.setdefault(feature.slug, (feature, where))
    for feature, where in found.values():
        lacking = [each for each in clients if feature.support[order.index(each)] == "n"]
        if not lacking:
            continue
        names = [data.clients[each] for each in lacking]
        if feature.slug not in _BREAKS and not feature.slug.startswith("css-"):
            continue  # an element or attribute that is not known shows what stands in it
        if feature.slug not in _BREAKS:
            plainer.append(f"{feature.title} ({_listed(names)})")
            continue
        yield Finding(
            Level.WARNING, "clients", where, f"{feature.title} is not known to {_listed(names)}.",
            f"Do without: see https://www.caniemail.com/features/{feature.slug}/",
        )  # fmt: skip
    if plainer:
        yield Finding(
            Level.NOTE, "clients", "HTML part",
            f"Where these are not known the mail is plainer, no more: {'; '.join(plainer)}.",
        )  # fmt: skip


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_CLIENTS
    return ", ".join(names[:_MOST_CLIENTS]) + (f" and {more} more" if more > 0 else "")


def _signs(mail: Mail) -> Iterator[tuple[str, str]]:
    """Yield what gives features away, with its place; the same ones many times."""
    left = _MOST_VALUES
    for element in mail.elements:
        where = place(element) if left > 0 else "HTML part"
        for sign in _signs_of_element(element):
            yield sign, where
        declarations = read_style(element.get("style", ""))
        left -= len(declarations) + 1
        for sign in _signs_of_style(declarations if left > 0 else ()):
            yield sign, where
    for sheet in mail.sheets:
        for rule in sheet.at_rules:
            yield f"at {rule.split(' ')[0].split('(')[0]}", "<style>"
            for word in set(_MEDIA_FEATURE.findall(rule)):
                yield f"at {word}", "<style>"
        if sheet.nests:
            yield "nesting", "<style>"
        for each in sheet.rules[:_MOST_VALUES]:
            where = f"<style>, {', '.join(each.selectors)[:60]}"
            for sign in _signs_of_style(each.declarations):
                yield sign, where
            for selector in each.selectors:
                for word in _PSEUDO.findall(selector):
                    yield f"pseudo {word}", where


def _signs_of_element(element: HtmlElement) -> Iterator[str]:
    yield f"element {element.tag}"
    for name in element.attrib:
        yield f"attribute {name}"
    if element.tag in ("input", "button"):
        yield f"element {element.tag} type={element.get('type', 'text').lower()}"
    if element.tag in ("img", "source", "image"):
        source = element.get("src") or element.get("srcset") or ""
        if source.lower().startswith("data:"):
            yield "image data:"
        else:
            yield f"image {_ending(source)}"


def _signs_of_style(declarations: Iterable[Declaration]) -> Iterator[str]:
    for name, value, _ in declarations:
        value = value.lower()[:500]
        yield f"property {name}"
        yield f"value {name}:{value}"
        for function in _FUNCTION.findall(value):
            yield f"function {function}"
        for unit in _UNIT.findall(value):
            yield f"unit {unit}"
        if "initial" in value.split():
            yield "unit initial"


def _ending(url: str) -> str:
    try:
        return urlsplit(url.split(" ")[0]).path.rpartition(".")[2].lower()[:8]
    except ValueError:
        return ""


@lru_cache(maxsize=1)
def _data() -> _Data:
    read = json.loads(files("mailer.checking").joinpath("data/caniemail.json").read_text("utf-8"))
    by_sign: dict[str, _Feature] = {}
    for slug, kept in read["features"].items():
        feature = _Feature(slug, kept["title"], kept["support"])
        for sign in kept["found_by"]:
            by_sign.setdefault(sign, feature)
    return _Data(read["tested_until"], read["clients"], by_sign)
