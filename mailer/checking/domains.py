"""What DNS says of the domain that a mail is written under: SPF, DMARC, and our keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mailer.checking.dns_lookup import Lookup
from mailer.domain.dmarc import Walk, judge_dmarc
from mailer.domain.mail_dns import Judgement, is_reserved, judge_dkim_key, judge_spf


class Key(NamedTuple):
    """A key that mails are signed with, as DNS should have it."""

    name: str  # SELECTOR._domainkey.DOMAIN
    algorithm: str
    public: str


class Judged(NamedTuple):
    """Of what the judgement is, and how it went."""

    subject: str
    judgement: Judgement


def sender_judged(domain: str, signer: str | None, lookup: Lookup) -> Iterator[Judged]:
    """Judge what DNS says of a From domain; `signer` signs for it. Raises Unanswered."""
    yield Judged("SPF", judge_spf(domain, lookup.texts(domain)))
    walk = _walked(domain, lookup)
    signed_for = None
    if signer is not None and signer != domain and not is_reserved(signer):
        signed_for = _walked(signer, lookup)
    yield Judged("DMARC", judge_dmarc(walk, signed_for))


def keys_judged(keys: Iterable[Key], lookup: Lookup) -> Iterator[Judged]:
    """Judge whether DNS holds the keys that we sign with. Raises Unanswered."""
    for key in keys:
        texts = lookup.texts(key.name)
        yield Judged("DKIM in DNS", judge_dkim_key(key.name, texts, key.algorithm, key.public))


def _walked(domain: str, lookup: Lookup) -> Walk:
    walk = Walk(domain)
    while (name := walk.next()) is not None:
        walk.tell(lookup.texts(name))
    return walk
