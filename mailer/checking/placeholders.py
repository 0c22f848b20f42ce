"""Words that stand where others should: of this and of other programs' templates."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailer.checking.findings import Finding, Level
from mailer.checking.mail import LARGEST, Mail, words_of

_FOREIGN = re.compile(
    r"\{\{[^{}\n]{1,80}\}\}"  # Jinja, Handlebars, ours
    r"|\{%[^{}\n]{1,80}%\}"
    r"|\*\|[A-Z_:0-9]{2,40}\|\*"  # Mailchimp
    r"|%%[A-Za-z_]{2,40}%%"
    r"|\[%[^\[\]\n]{1,60}%\]"
    r"|<%=?[^<>\n]{1,60}%>"
)
_UNFINISHED = re.compile(
    r"\b[Ll]orem [Ii]psum\b"
    r"|\b(?:TODO|FIXME|TKTK)\b|\[(?:name|first name|your name|date|link|title)\]"
    r"|\bundefined undefined\b|\[object Object\]"
)
_MOST_NAMED = 10


def placeholder_findings(mail: Mail) -> Iterator[Finding]:
    """Look for placeholders that nobody filled in.

    What stands in a story as it was told may be meant, so that it is only a warning.
    """
    told = " ".join(mail.about.told)
    for where, text in (
        ("Subject", mail.subject),
        ("HTML part", f"{words_of(mail.root, LARGEST)} {_addresses(mail)}"),
        ("text part", mail.text[:LARGEST]),
    ):
        for level, pattern in ((Level.ERROR, _FOREIGN), (Level.WARNING, _UNFINISHED)):
            found = dict.fromkeys(match.group() for match in pattern.finditer(text))
            for words in list(found)[:_MOST_NAMED]:
                yield Finding(
                    Level.WARNING if words in told else level, "placeholders", where,
                    f"“{words}” looks like a place that nobody filled in.",
                    "Fill it in, or take it out.",
                )  # fmt: skip


def _addresses(mail: Mail) -> str:
    return " ".join(each.get(name, "") for each in mail.elements for name in ("href", "src", "alt"))
