"""Links and pictures: what can be told without asking, and what an answer means."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from lxml.html import HtmlElement

from mailer.checking.findings import Finding, Level
from mailer.checking.mail import Mail, place, words_of
from mailer.domain.mail_dns import is_reserved
from mailer.domain.reached import Reached

_ADDRESS = re.compile(r"[^\s@<>,]+@[^\s@<>,]+\.[^\s@<>,.]+")
_TELEPHONE = re.compile(r"\+?[0-9().\- ]{3,30}(?:;[\w=+-]+)*")
_GONE = (404, 410)
_KEEPS_PROGRAMS_OUT = (401, 402, 403, 405, 406, 429, 451, 999)
_LARGE_PICTURE = 1_000_000


class Target(NamedTuple):
    """An address on the web that the mail needs, and the first place that needs it."""

    url: str
    is_picture: bool
    where: str


def link_findings(mail: Mail) -> Iterator[Finding]:
    """Look at the addresses themselves."""
    for element in mail.elements:
        if element.tag in ("a", "area") and not _is_an_anchor(element):
            wrong = _what_is_wrong_with(element.get("href", "").strip())
            if wrong:
                yield Finding(
                    Level.ERROR, "links", place(element), wrong, "Write the whole address.",
                )  # fmt: skip
        elif element.tag == "img":
            wrong = _what_is_wrong_with_picture((element.get("src") or "").strip())
            if wrong:
                yield Finding(
                    Level.ERROR, "images", place(element), wrong,
                    "Give the whole address of a picture on the web.",
                )  # fmt: skip


def targets(mail: Mail) -> list[Target]:
    """Return what is to be asked for, each once, without what is ours and made for one reader."""
    found: dict[str, Target] = {}
    own = mail.about.own_url.rstrip("/")
    for element in mail.elements:
        for attribute, is_picture in (("href", False), ("src", True), ("background", True)):
            if attribute == "href" and element.tag not in ("a", "area"):
                continue
            url = (element.get(attribute) or "").strip().partition("#")[0]
            ours = bool(own) and url.startswith(f"{own}/")
            if url.lower().startswith(("http://", "https://")) and (is_picture or not ours):
                found.setdefault(url, Target(url, is_picture, place(element)))
    return list(found.values())


def for_examples(wanted: list[Target]) -> list[str]:
    """Return the hosts that are kept for tests and examples, which nobody can ask."""
    hosts = {_host(target.url) for target in wanted}
    return sorted(host for host in hosts if host and is_reserved(host))


def host(target: Target) -> str:
    """Return whom an address asks."""
    return _host(target.url)


def is_own(target: Target, mails: Sequence[Mail]) -> bool:
    """Say whether an address is of our own pages, which need no network to be asked."""
    return any(target.url.startswith(f"{mail.about.own_url.rstrip('/')}/") for mail in mails)


def is_askable(target: Target) -> bool:
    """Say whether somebody can be behind the address."""
    return not is_reserved(_host(target.url))


def example_findings(hosts: list[str]) -> Iterator[Finding]:
    """Say which hosts were not asked."""
    if hosts:
        yield Finding(
            Level.WARNING, "links", ", ".join(hosts[:5]),
            f"Links lead to names for tests and examples ({', '.join(hosts[:5])}): not asked.",
            "Replace them before readers see them.",
        )  # fmt: skip


def answer_findings(answers: dict[Target, Reached]) -> Iterator[Finding]:
    """Say what the answers mean: what is gone is an error, what cannot be reached a warning."""
    for target, reached in answers.items():
        yield from _judged(target, reached)


def no_network(number: int) -> Finding:
    """Say that nothing could be asked, once for all."""
    return Finding(
        Level.WARNING, "links", "network",
        f"No link could be asked ({number}): from here no host on the web is known.",
        "Run `mailer campaign check` where there is a network.",
    )  # fmt: skip


def not_asked(number: int) -> Finding:
    """Say how many addresses were left out: their host is silent, or the time was over."""
    return Finding(
        Level.WARNING, "links", "network",
        f"{number} more addresses were not asked: their host is silent, or the time was over.",
        "Run `mailer campaign check` again, which takes up to 30 seconds.",
    )  # fmt: skip


def _judged(target: Target, reached: Reached) -> Iterator[Finding]:
    check, what = ("images", "picture") if target.is_picture else ("links", "page")
    shown = target.url[:160]
    status = reached.status
    if status is None:
        yield Finding(
            Level.WARNING, check, target.where, f"{shown} cannot be reached: {reached.problem}",
            "Open it in a browser; mend or remove it.",
        )  # fmt: skip
    elif status in _GONE:
        yield Finding(
            Level.ERROR, check, target.where, f"{shown} answers {status}: there is no such {what}.",
            "Correct the address, or take it out.",
        )  # fmt: skip
    elif status in _KEEPS_PROGRAMS_OUT:
        yield Finding(
            Level.NOTE, check, target.where,
            f"{shown} answers {status}: it may answer browsers otherwise than programs.",
            "Open it in a browser.",
        )  # fmt: skip
    elif status >= 400:
        yield Finding(
            Level.WARNING, check, target.where, f"{shown} answers {status}.",
            "Open it in a browser; mend or remove it.",
        )  # fmt: skip
    elif target.is_picture:
        yield from _judged_picture(target, reached)


def _judged_picture(target: Target, reached: Reached) -> Iterator[Finding]:
    if reached.content_type and not reached.content_type.lower().startswith("image/"):
        yield Finding(
            Level.ERROR, "images", target.where,
            f"{target.url[:160]} is no picture, but {reached.content_type[:60]}.",
            "Give the address of the picture itself.",
        )  # fmt: skip
    elif (reached.octets or 0) > _LARGE_PICTURE:
        yield Finding(
            Level.WARNING, "images", target.where,
            f"{target.url[:160]} has {(reached.octets or 0) / 1e6:.1f} MB.",
            "Make it smaller: phones load it over the air.",
        )  # fmt: skip


def _is_an_anchor(element: HtmlElement) -> bool:
    """Say whether others lead to it, and it leads nowhere on purpose.

    With words or a picture it looks like a link; what we do not send as an address is gone by now.
    """
    if element.get("href") is not None:
        return False
    is_empty = not words_of(element, 400).strip() and not len(element)
    return is_empty or bool(element.get("id") or element.get("name"))


def _what_is_wrong_with(href: str) -> str:
    """Return what is wrong with a link's address, or an empty text."""
    if href in ("", "#"):
        return "A link leads nowhere."
    scheme, colon, rest = href.partition(":")
    match scheme.lower() if colon else "":
        case "http" | "https":
            return "" if _host(href) else f"“{href[:80]}” names no host."
        case "mailto":
            recipients = unquote(rest.partition("?")[0]).split(",")
            fine = all(_ADDRESS.fullmatch(each.strip()) for each in recipients)
            return "" if fine else f"“{href[:80]}” holds no mail address."
        case "tel" | "sms":
            number = unquote(rest.partition("?")[0])
            return "" if _TELEPHONE.fullmatch(number) else f"“{href[:80]}” is no telephone number."
        case _:
            if href.startswith("#"):
                return ""
            return f"“{href[:80]}” leads nowhere from a mail."


def _what_is_wrong_with_picture(src: str) -> str:
    if not src:
        return "A picture has no address."
    scheme = src.partition(":")[0].lower()
    if scheme in ("data", "cid"):
        return ""
    return "" if scheme in ("http", "https") and _host(src) else f"“{src[:80]}” is no address."


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
