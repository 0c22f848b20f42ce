"""What `mailer doctor` finds in DNS: SPF, DKIM and DMARC of the domains that we write under.

Where DNS cannot be asked, that is said, and nothing is wrong by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from dns.resolver import Resolver

from mailer.checking import dns_lookup
from mailer.checking.dns_lookup import Lookup, Unanswered
from mailer.checking.domains import keys_judged, sender_judged
from mailer.cli.doctor.findings import Finding
from mailer.domain.mail_dns import is_reserved
from mailer.rendering import DkimSigner
from mailer.services.campaigns.checking import published_keys

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
    for judged in sender_judged(domain, signer.domain if signer else None, lookup):
        yield Finding(judged.subject, *judged.judgement)


def _keys(signer: DkimSigner, lookup: Lookup) -> Iterator[Finding]:
    for judged in keys_judged(published_keys(signer), lookup):
        yield Finding(judged.subject, *judged.judgement)


def _not_looked_up(domain: str, unanswered: Unanswered) -> Finding:
    says = f"{domain} could not be looked up ({unanswered}): try again where DNS can be asked"
    return Finding("DNS", True, says, known=False)
