"""What an inbox shows before a mail is opened, and what it does with a mail that is too large."""

from __future__ import annotations

from collections.abc import Iterator

from mailer.checking.findings import Finding, Level
from mailer.checking.mail import Mail, words_of
from mailer.checking.seen import hidden

CLIPPED_AT = 102_000
"""Octets of HTML from which Gmail cuts a mail off, and with it the footer."""

_NEARLY = 90_000
_LONG_SUBJECT = 70
_LONG_PREHEADER = 150
_SHORT_PREHEADER = 25
_LEAST_TEXT = 20
_FILLING = "\u034f\u200c\u200b\u2007\u00ad\ufeff\u00a0\u061c\u200e\u200f"


def subject_findings(mail: Mail) -> Iterator[Finding]:
    """Look at the subject line."""
    subject = mail.subject.strip()
    if not subject:
        yield Finding(
            Level.ERROR, "subject", "Subject", "The mail has no subject.",
            "Give it one: mend subject.txt of the template.",
        )  # fmt: skip
    elif len(subject) > _LONG_SUBJECT:
        yield Finding(
            Level.WARNING, "subject", "Subject",
            f"The subject has {len(subject)} characters; inboxes show 40 to {_LONG_SUBJECT}.",
            "Say the most important thing first, or say it shorter.",
        )  # fmt: skip
    if subject and subject.isupper() and len(subject) > _SHORT_PREHEADER:
        yield Finding(
            Level.WARNING, "subject", "Subject", "The subject is in capitals alone.",
            "Write it as a sentence: spam filters and readers take it for shouting.",
        )  # fmt: skip


def preheader_findings(mail: Mail) -> Iterator[Finding]:
    """Look at what inboxes show behind the subject."""
    words = preheader(mail)
    if not words:
        yield Finding(
            Level.WARNING, "preheader", "<body>",
            "There is no hidden line for inboxes to show: they show the first words of the mail.",
            "Give it one: `campaign create --preheader`; in a template of your own, preheader.txt.",
        )  # fmt: skip
    elif words == " ".join(mail.subject.split()):
        yield Finding(
            Level.WARNING, "preheader", "preheader", "The preheader says what the subject says.",
            "Say what the subject leaves out: `campaign create --preheader`.",
        )  # fmt: skip
    elif not _SHORT_PREHEADER <= len(words) <= _LONG_PREHEADER:
        yield Finding(
            Level.NOTE, "preheader", "preheader",
            f"The preheader has {len(words)} characters; "
            f"{_SHORT_PREHEADER} to {_LONG_PREHEADER} are shown well.",
            "Lengthen or shorten it: `campaign create --preheader`.",
        )  # fmt: skip


def preheader(mail: Mail) -> str:
    """Return the words of the first element of the body, where it is hidden."""
    body = mail.root.find("body")
    first = next((child for child in body if isinstance(child.tag, str)), None)
    if first is None or not hidden(first) or (body.text or "").strip():
        return ""
    words = words_of(first).translate(dict.fromkeys(map(ord, _FILLING), " "))
    return " ".join(words.split())


def size_findings(mail: Mail) -> Iterator[Finding]:
    """Look whether Gmail would cut the mail off."""
    size = len(mail.html.encode("utf-8", "replace"))
    if size >= _NEARLY:
        level, so = (
            (Level.ERROR, "Gmail cuts it off at 102 KB, and hides the footer")
            if size >= CLIPPED_AT
            else (Level.WARNING, "Gmail cuts off at 102 KB")
        )
        yield Finding(
            level, "size", "HTML part", f"The HTML has {size // 1000} KB: {so}.",
            "Leave articles out (`digest edit --max-articles`), or shorten the template.",
        )  # fmt: skip


def text_findings(mail: Mail) -> Iterator[Finding]:
    """Look whether there is a text that a person would read."""
    words = mail.text.strip()
    if not words:
        yield Finding(
            Level.ERROR, "text part", "text part", "The mail has no text part.",
            "Write body.txt of the template: some readers and many filters read only that.",
        )  # fmt: skip
        return
    if len(words) < _LEAST_TEXT:
        yield Finding(
            Level.WARNING, "text part", "text part", "The text part says next to nothing.",
            "Say in body.txt what the HTML says.",
        )  # fmt: skip
    if mail.about.unsubscribe_url and mail.about.unsubscribe_url not in mail.text:
        yield Finding(
            Level.WARNING, "text part", "text part", "The text part has no link to leave.",
            "Write {{ links.unsubscribe }} into body.txt.",
        )  # fmt: skip
