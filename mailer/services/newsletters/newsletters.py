"""Publisher, newsletters and purposes: what an operator sets up once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parseaddr
from unicodedata import category

from babel import Locale, UnknownLocaleError
from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.addresses import parse_address
from mailer.domain.errors import Refusal
from mailer.domain.schedule import zone
from mailer.domain.suppression import SCOPE_ALL
from mailer.store.models import Newsletter, Publisher, Purpose

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?")
PURPOSE_KINDS = ("editorial", "partner", "measurement")
_EDITABLE = frozenset(
    {"name", "reply_to", "locale", "timezone", "postal_address", "privacy_url", "terms_url"}
)


class BadValue(Refusal):
    """Something given cannot be used; the message says what is expected."""


def show_publisher(session: Session) -> Publisher:
    """Return the publisher; empty fields before the first edit."""
    publisher = session.get(Publisher, 1)
    if publisher is None:
        publisher = Publisher(id=1, name="", address="", contact="", jurisdiction="")
        session.add(publisher)
        session.flush()
    return publisher


def edit_publisher(session: Session, changes: Mapping[str, str]) -> Publisher:
    """Change what is named of the publisher."""
    publisher = show_publisher(session)
    for field, value in changes.items():
        if field not in ("name", "address", "contact", "jurisdiction"):
            raise BadValue(f"A publisher has no “{field}”.")
        setattr(publisher, field, one_line(value, field))
    return publisher


def add_newsletter(
    session: Session,
    *,
    slug: str,
    name: str,
    sender: str,
    reply_to: str = "",
    locale: str = "en",
    timezone: str = "UTC",
    postal_address: str = "",
    privacy_url: str = "",
    terms_url: str = "",
    now: datetime,
) -> Newsletter:
    """Add a newsletter; `sender` is `Name <address>`. Raises BadValue, BadAddress, BadSchedule."""
    checked_slug(slug)
    if session.scalar(select(Newsletter.id).where(Newsletter.slug == slug)) is not None:
        raise BadValue(f"There is a newsletter “{slug}” already: choose another slug.")
    from_name, from_address = _sender(sender)
    newsletter = Newsletter(
        slug=slug, from_name=from_name, from_address=from_address, theme={}, created_at=now
    )
    values = {
        "name": name,
        "reply_to": reply_to,
        "locale": locale,
        "timezone": timezone,
        "postal_address": postal_address,
        "privacy_url": privacy_url,
        "terms_url": terms_url,
    }
    _assign(newsletter, values)
    session.add(newsletter)
    session.flush()
    return newsletter


def edit_newsletter(
    session: Session, newsletter: Newsletter, changes: Mapping[str, str]
) -> Newsletter:
    """Change what is named; what has been sent or shown keeps the old wording."""
    changes = dict(changes)
    sender = changes.pop("sender", None)
    if sender is not None:
        newsletter.from_name, newsletter.from_address = _sender(sender)
    _assign(newsletter, changes)
    session.flush()
    return newsletter


def list_newsletters(session: Session) -> list[Newsletter]:
    """Return all newsletters by slug."""
    return list(session.scalars(select(Newsletter).order_by(Newsletter.slug)))


def add_purpose(
    session: Session,
    newsletter: Newsletter,
    slug: str,
    label: str,
    *,
    kind: str = "editorial",
    locale: str | None = None,
) -> Purpose:
    """Add a purpose, or a label in one more locale to one that is there.

    A label that has been shown is in its notice for ever; a new one is seen by readers from the
    next published notice on.
    """
    checked_slug(slug)
    label = one_line(label, "label")
    if not label:
        raise BadValue("A purpose needs a label: the words that readers tick.")
    if kind not in PURPOSE_KINDS:
        raise BadValue(f"“{kind}” is no kind of purpose: choose {', '.join(PURPOSE_KINDS)}.")
    locale = locale_code(locale or newsletter.locale)
    for purpose in newsletter.purposes:
        if purpose.slug == slug:
            purpose.labels = {**purpose.labels, locale: label}
            return purpose
    purpose = Purpose(
        newsletter_id=newsletter.id,
        slug=slug,
        kind=kind,
        labels={locale: label},
        position=len(newsletter.purposes),
    )
    newsletter.purposes.append(purpose)
    session.flush()
    return purpose


def one_line(value: str, field: str, limit: int = 300) -> str:
    """Return the value trimmed; raises BadValue where it could begin a header of its own."""
    trimmed = value.strip()
    if any(category(character) in ("Cc", "Cs", "Zl", "Zp") for character in trimmed):
        raise BadValue(f"The {field} must be one line without control characters.")
    if len(trimmed) > limit:
        raise BadValue(f"The {field} has more than {limit} characters: shorten it.")
    return trimmed


def _assign(newsletter: Newsletter, values: Mapping[str, str]) -> None:
    for field, given in values.items():
        if field not in _EDITABLE:
            raise BadValue(f"A newsletter has no “{field}”.")
        value = one_line(given, field)
        if field == "name" and not value:
            raise BadValue("A newsletter needs a name.")
        if field == "locale" and not value:
            raise BadValue("A newsletter needs a locale, such as en.")
        if field == "locale":
            value = locale_code(value)
        elif field == "timezone":
            value = zone(value).key
        elif field == "reply_to" and value:
            value = str(parse_address(value))
        elif (
            field in ("privacy_url", "terms_url")
            and value
            and not value.startswith(("https://", "http://"))
        ):
            raise BadValue(f"The {field} must begin with https://.")
        setattr(newsletter, field, value)


def checked_slug(text: str) -> None:
    """Raise BadValue unless the text can stand in addresses of pages."""
    if not _SLUG.fullmatch(text):
        raise BadValue(
            f"“{text}” is no slug: use small letters, digits and hyphens, such as weekly-digest."
        )
    if text == SCOPE_ALL:
        raise BadValue(f"“{text}” means everything: choose another slug.")


def _sender(text: str) -> tuple[str, str]:
    name, address = parseaddr(one_line(text, "sender"))
    if not address:
        raise BadValue(f"“{text}” is no sender: write it as 'Name <news@example.org>'.")
    return name, str(parse_address(address))


def locale_code(text: str) -> str:
    """Return a locale's code in its one spelling, such as `pt-BR` for `PT_br`; raises BadValue.

    Nothing is returned for nothing.
    """
    if not text:
        return ""
    try:
        Locale.parse(text, sep="-" if "-" in text else "_")
    except (UnknownLocaleError, ValueError):
        raise BadValue(f"“{text}” is no locale: use a code such as en, fr, ar or pt-BR.") from None
    language, *more = text.replace("_", "-").split("-")
    return "-".join([language.lower(), *map(_subtag, more)])


def _subtag(text: str) -> str:
    """Return a part of a locale's code as it is written (RFC 5646 §2.1.1)."""
    match len(text):
        case 2:
            return text.upper()
        case 4:
            return text.title()
    return text.lower()
