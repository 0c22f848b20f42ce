"""What `mailer doctor` finds in DNS: SPF, DKIM and DMARC of the domains that we write under.

Where DNS cannot be asked, that is said, and nothing is wrong by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from dns.resolver import Resolver

from mailer.cli import dns_lookup
from mailer.cli.checks import Finding
from mailer.cli.dns_lookup import Lookup, Unanswered
from mailer.domain.dmarc import Walk, judge_dmarc
from mailer.domain.mail_dns import is_reserved, judge_dkim_key, judge_spf
from mailer.rendering import DkimSigner

SECONDS = 3.0
"""For all questions about one domain."""

Examination = Callable[[Lookup], Iterator[Finding]]


def dns_findings(domains: Sequence[str], signer: DkimSigner | None) -> Iterator[Finding]:
    """Yield what DNS says of each From domain, and of the keys that we sign with."""
    examinations: list[tuple[str, Examination]] = [
        (domain, partial(_sender, domain, signer)) for domain in domains
    ]
    if signer is not None:
        examinations.append((signer.domain, partial(_keys, signer)))
    for domain in sorted({domain for domain, _ in examinations if is_reserved(domain)}):
        says = f"{domain} is a name for tests and examples: not looked up"
        yield Finding("DNS", True, says, known=False)
    asked = [each for each in examinations if not is_reserved(each[0])]
    if not asked:
        return
    try:
        resolvers = [dns_lookup.system_resolver() for _ in asked]
    except Unanswered as unanswered:
        yield from dict.fromkeys(_not_looked_up(domain, unanswered) for domain, _ in asked)
        return
    with ThreadPoolExecutor() as pool:  # each has its time, and nobody waits for the sum
        found = pool.map(_examined, asked, resolvers)
        yield from dict.fromkeys(finding for findings in found for finding in findings)


def _examined(asked: tuple[str, Examination], resolver: Resolver) -> list[Finding]:
    domain, examination = asked
    findings = []
    try:
        for finding in examination(Lookup(resolver, SECONDS)):
            findings.append(finding)  # noqa: PERF402  (what was found before DNS fell silent counts)
    except Unanswered as unanswered:
        findings.append(_not_looked_up(domain, unanswered))
    return findings


def _sender(domain: str, signer: DkimSigner | None, lookup: Lookup) -> Iterator[Finding]:
    yield Finding("SPF", *judge_spf(domain, lookup.texts(domain)))
    walk = _walked(domain, lookup)
    signed_for = None
    if signer is not None and signer.domain != domain and not is_reserved(signer.domain):
        signed_for = _walked(signer.domain, lookup)
    yield Finding("DMARC", *judge_dmarc(walk, signed_for))


def _keys(signer: DkimSigner, lookup: Lookup) -> Iterator[Finding]:
    for key in signer.keys:
        name = f"{key.selector}._domainkey.{signer.domain}"
        judged = judge_dkim_key(name, lookup.texts(name), str(key.algorithm), key.public)
        yield Finding("DKIM in DNS", *judged)


def _walked(domain: str, lookup: Lookup) -> Walk:
    walk = Walk(domain)
    while (name := walk.next()) is not None:
        walk.tell(lookup.texts(name))
    return walk


def _not_looked_up(domain: str, unanswered: Unanswered) -> Finding:
    says = f"{domain} could not be looked up ({unanswered}): try again where DNS can be asked"
    return Finding("DNS", True, says, known=False)
