"""What a newsletter owes its readers: a way out, a choice, who writes; and the list's headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from mailer.checking.findings import Finding, Level
from mailer.checking.mail import Mail
from mailer.domain.urls import is_loopback

_LEAST_SHARE = 0.6
_WORD = re.compile(r"\w+")


def leaving_findings(mail: Mail) -> Iterator[Finding]:
    """Look for the links to leave and to the preferences."""
    links = {element.get("href", "") for element in mail.elements if element.tag == "a"}
    if mail.about.unsubscribe_url not in links:
        yield Finding(
            Level.ERROR, "unsubscribe", "HTML part", "There is no link to leave.",
            'Write <a href="{{ links.unsubscribe }}"> into body.html.',
        )  # fmt: skip
    if mail.about.preferences_url not in links:
        yield Finding(
            Level.WARNING, "preferences", "HTML part", "There is no link to the preferences.",
            'Write <a href="{{ links.preferences }}"> into body.html.',
        )  # fmt: skip


def address_findings(mail: Mail) -> Iterator[Finding]:
    """Look for the publisher's postal address, which CAN-SPAM and CASL ask for."""
    wanted = _WORD.findall(mail.about.postal_address.lower())
    if not wanted:
        yield Finding(
            Level.ERROR, "address", "newsletter", "The newsletter has no postal address.",
            "Give it one: `mailer newsletter edit NAME --postal-address`.",
        )  # fmt: skip
        return
    there = set(_WORD.findall(" ".join(mail.root.itertext()).lower()))
    if sum(word in there for word in wanted) < _LEAST_SHARE * len(wanted):
        yield Finding(
            Level.ERROR, "address", "HTML part", "The postal address does not stand in the mail.",
            "Write {{ newsletter.postal_address }} into body.html.",
        )  # fmt: skip


def header_findings(mail: Mail) -> Iterator[Finding]:
    """Look at what RFC 8058 and RFC 5322 want of the header."""
    leave = mail.header("List-Unsubscribe")
    if len(leave) != 1 or not re.match(r"<https?://[^>]+>", leave[0]):
        yield Finding(
            Level.ERROR, "headers", "List-Unsubscribe",
            "The header has no one-click way to leave (RFC 8058).",
            "This is a fault of ours: please report it.",
        )  # fmt: skip
    elif mail.header("List-Unsubscribe-Post") != ["List-Unsubscribe=One-Click"]:
        yield Finding(
            Level.ERROR, "headers", "List-Unsubscribe-Post",
            "The header does not say that leaving takes one click (RFC 8058).",
            "This is a fault of ours: please report it.",
        )  # fmt: skip
    for name in ("From", "Date", "Message-ID", "Subject"):
        if len(mail.header(name)) != 1:
            yield Finding(
                Level.ERROR, "headers", name, f"The field stands {len(mail.header(name))} times.",
                "This is a fault of ours: please report it.",
            )  # fmt: skip


def own_url_findings(mail: Mail) -> Iterator[Finding]:
    """Look whether readers can reach the pages behind our links."""
    parts = urlsplit(mail.about.own_url)
    if is_loopback(parts.hostname or ""):
        yield Finding(
            Level.WARNING, "our links", mail.about.own_url,
            "Our own links lead to this machine alone: no reader can leave by them.",
            "Set MAILER_PUBLIC_URL to the address that readers reach.",
        )  # fmt: skip
    elif parts.scheme == "http":
        yield Finding(
            Level.WARNING, "our links", mail.about.own_url,
            "Our own links are not https: one-click leaving needs it (RFC 8058).",
            "Put the pages behind https, and set MAILER_PUBLIC_URL.",
        )  # fmt: skip
