"""E-mail addresses, parsed once at the edge."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import email_validator
import idna

from mailer.domain.errors import Refusal

# `.test` is reserved for tests (RFC 2606) and can reach nobody, so that it is let through.
_ALLOWED_SPECIAL_USE = ("test",)
email_validator.SPECIAL_USE_DOMAIN_NAMES[:] = [
    name for name in email_validator.SPECIAL_USE_DOMAIN_NAMES if name not in _ALLOWED_SPECIAL_USE
]


class BadAddress(Refusal):
    """The text is not an e-mail address that mail can be sent to."""


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """An address as it goes on the wire: NFC local part, lower-case domain (Unicode form)."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def key(self) -> str:
        """What two spellings of one mailbox have in common.

        RFC 5321 §2.4 leaves the case of the local part to the receiver; no receiver of note
        gives two mailboxes to two cases, and a reader who leaves must stay away in both. Domains
        are compared as DNS knows them: straße.example and strasse.example have two owners.
        """
        return f"{self.local.lower()}@{_ascii(self.domain)}"


def parse_address(text: str) -> EmailAddress:
    """Return the address in `text`; raises BadAddress with one sentence for people."""
    stripped = text.strip()
    if any(character in stripped for character in "\r\n\0\ufffd"):
        raise BadAddress("An e-mail address is one line of readable characters.")
    try:
        parsed = email_validator.validate_email(
            stripped, check_deliverability=False, allow_smtputf8=True
        )
    except email_validator.EmailNotValidError as error:
        shown = stripped if len(stripped) <= 80 else stripped[:79] + "…"
        raise BadAddress(f"“{shown}” is not an e-mail address: {error}") from None
    return EmailAddress(parsed.local_part, parsed.domain)


class Mailbox(NamedTuple):
    """An address as text, with what two spellings of it have in common, and who receives for it."""

    address: str
    key: str
    provider: str


def mailbox(text: str) -> Mailbox:
    """Return the mailbox that the text names; raises BadAddress as `parse_address` does."""
    plain = plain_mailbox(text)
    if plain is not None:
        return plain
    parsed = parse_address(text)
    return Mailbox(str(parsed), parsed.key, receiving_provider(parsed))


def plain_mailbox(text: str) -> Mailbox | None:
    """Return a mailbox whose local part is plain ASCII, in a tenth of `parse_address`'s time.

    None says nothing but "ask `parse_address`"; what is returned is what comes of that one.
    """
    local, _, domain = text.strip().rpartition("@")
    known = _known_domain(domain)
    lower = local.lower()
    if known is None or lower in _KEPT_LOWER or not _PLAIN_LOCAL.fullmatch(local):
        return None
    domain, provider = known
    return Mailbox(f"{local}@{domain}", f"{lower}@{domain}", provider)


@lru_cache(maxsize=20_000)
def _known_domain(domain: str) -> tuple[str, str] | None:
    """Return a domain of readers as on the wire, and its provider; None if it is not plain."""
    if not domain.isascii() or len(domain) > _LONGEST_DOMAIN:
        return None
    try:
        parsed = parse_address(f"a@{domain}")
    except BadAddress:
        return None
    return (parsed.domain, receiving_provider(parsed)) if parsed.domain.isascii() else None


_PLAIN_LOCAL = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9_+\-]+(?:\.[A-Za-z0-9_+\-]+)*", re.ASCII)
_LONGEST_DOMAIN = 254 - 1 - 64  # with any local part it is no longer than an address may be
_KEPT_LOWER = frozenset(email_validator.rfc_constants.CASE_INSENSITIVE_MAILBOX_NAMES)


def wire_address(address: str) -> str:
    """Return a parsed address as SMTP and headers take it: the domain in ASCII (RFC 5890).

    A local part that is not ASCII stays; it needs SMTPUTF8 (RFC 6531).
    """
    if address.isascii():
        return address
    local, _, domain = address.rpartition("@")
    return f"{local}@{_ascii(domain)}"


def _ascii(domain: str) -> str:
    return domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")


def address_hash(address: EmailAddress, key: bytes) -> str:
    """Return the keyed hash (HMAC-SHA-256, hex) under which suppression remembers an address.

    Keyed, so that a list of hashes cannot be turned back by hashing a list of addresses.
    """
    return hash_of_mailbox(address.key, key)


def hash_of_mailbox(mailbox_key: str, key: bytes) -> str:
    """Return the same of a mailbox's key."""
    return hmac.digest(key, mailbox_key.encode(), "sha256").hex()


def receiving_provider(address: EmailAddress) -> str:
    """Return the name under which limits toward the receiver are kept: its domain.

    The large providers' many domains are one provider, for they count senders as one.
    """
    return _PROVIDERS.get(address.domain, address.domain)


def is_shared(provider: str) -> bool:
    """Say whether so many readers have this provider that its name tells nothing of one of them."""
    return provider in _PROVIDERS.values()


def provider_named(text: str) -> str:
    """Return the provider that a person means, by its name or by one of its domains.

    Raises BadAddress where it can be neither.
    """
    name = text.strip().lower().rstrip(".")
    if name in _PROVIDERS.values():
        return name
    try:
        return receiving_provider(parse_address(f"somebody@{name}"))
    except BadAddress:
        known = ", ".join(sorted(set(_PROVIDERS.values())))
        raise BadAddress(
            f"“{text[:80]}” is neither a provider ({known}) nor a domain of readers."
        ) from None


_PROVIDERS = {
    "gmail.com": "google",
    "googlemail.com": "google",
    **dict.fromkeys(("outlook.com", "hotmail.com", "live.com", "msn.com"), "microsoft"),
    **dict.fromkeys(("hotmail.fr", "hotmail.co.uk", "outlook.fr", "live.fr"), "microsoft"),
    **dict.fromkeys(("yahoo.com", "ymail.com", "aol.com", "yahoo.fr", "yahoo.co.uk"), "yahoo"),
}
