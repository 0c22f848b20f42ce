"""Checking a campaign's mail: what can be told of it, and what others say when they are asked.

The mail is compiled and read in one short transaction; nothing is asked while it is open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dns.resolver import Resolver
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.checking import links
from mailer.checking.clients import USUAL, tested_until
from mailer.checking.content import content_findings
from mailer.checking.dns_lookup import Lookup, Unanswered
from mailer.checking.domains import Key, keys_judged, sender_judged
from mailer.checking.findings import Finding, Level, errors, sorted_once
from mailer.checking.mail import About, Mail, read_mail
from mailer.checking.spam import spam_findings
from mailer.domain.addresses import wire_address
from mailer.domain.mail_dns import is_reserved
from mailer.domain.reached import Reached
from mailer.rendering import CannotWorkOut, CompiledMessage, DkimSigner, ReaderValues
from mailer.services.mails.choosing import Home, nobody
from mailer.services.mails.renderer import Renderer
from mailer.services.newsletters.topics import topics_of
from mailer.store.engine import Sessions, reading
from mailer.store.models import Campaign, Variant

Probe = Callable[..., Reached]
"""Asks an address, for so many `seconds`."""

_MOST_VARIANTS = 12
_AT_ONCE = 16
_DNS_SECONDS = 3.0
_READER = "reader@example.com"


@dataclass(frozen=True, slots=True)
class Effort:
    """How long others may take: seconds for one link, for all, and whether spam is judged."""

    link: float
    total: float
    spam: bool = True


THOROUGH = Effort(10.0, 30.0)
BEFORE_SENDING = Effort(5.0, 12.0)
AT_ONCE = Effort(1.5, 2.5, spam=False)
"""For breaking news, which has to be out within seconds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who can be asked, and by what."""

    probe: Probe
    resolver: Callable[[], Resolver]
    spamassassin: str
    signer: DkimSigner | None


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in a campaign's mail, worst first."""

    campaign_id: int
    newsletter: str
    subject: str
    octets: int
    variants: int
    clients: tuple[str, ...]
    findings: list[Finding]
    mail: Mail

    @property
    def errors(self) -> list[Finding]:
        """Return what keeps the mail from going."""
        return errors(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return it as `campaign check --json` prints it."""
        levels = [finding.level for finding in self.findings]
        return {
            "campaign_id": self.campaign_id,
            "newsletter": self.newsletter,
            "subject": self.subject,
            "passes": not self.errors,
            "counts": {level.value: levels.count(level) for level in Level},
            "html_octets": self.octets,
            "variants": self.variants,
            "clients": list(self.clients),
            "clients_tested_until": tested_until(),
            "findings": [finding.as_dict() for finding in self.findings],
        }


def check_campaign(
    sessions: Sessions,
    campaign_id: int,
    *,
    renderer: Renderer,
    asked: Asked,
    effort: Effort,
    clients: Sequence[str] = USUAL,
    now: datetime,
) -> Report:
    """Look at the campaign's mail as it is now, and ask whoever can be asked.

    Raises the renderer's Refusal for a template that cannot be compiled; writes nothing.
    """
    with reading(sessions) as session:
        campaign = session.get_one(Campaign, campaign_id)
        newsletter, sender = campaign.newsletter.slug, campaign.newsletter.from_address
        mails = mails_of(session, campaign, renderer, now=now)
    found = [*content_findings(mails, clients), *_answers(mails, sender, asked, effort)]
    return Report(
        campaign_id=campaign_id,
        newsletter=newsletter,
        subject=mails[0].subject,
        octets=max(len(mail.html.encode("utf-8", "replace")) for mail in mails),
        variants=len(mails),
        clients=tuple(clients),
        findings=sorted_once(found),
        mail=mails[0],
    )


def mails_of(
    session: Session, campaign: Campaign, renderer: Renderer, *, now: datetime
) -> list[Mail]:
    """Return the mail of somebody who told us nothing, and the largest of the other variants.

    Before the start nothing else is compiled; then, where a mail differs by its reader, it is that
    of a reader who chose every topic.
    """
    compiled = [renderer.sent_message(session, campaign)]
    kept = session.scalars(
        select(Variant.compiled)
        .where(Variant.campaign_id == campaign.id, Variant.version == campaign.version)
        .order_by(func.length(Variant.compiled).desc())
        .limit(_MOST_VARIANTS)
    ).all()
    compiled += [CompiledMessage.from_json(each) for each in kept]
    if not kept and compiled[0].path:
        newsletter = campaign.newsletter
        topics = tuple(topic.slug for topic in topics_of(session, newsletter))
        reader = nobody(_READER, Home(newsletter.locale, newsletter.timezone))
        everything = reader._replace(topics=topics)
        compiled.append(renderer.campaign_message(session, campaign, reader=everything))
    values = renderer.sample_values(email=_READER, newsletter=campaign.newsletter, now=now)
    about = About(
        postal_address=campaign.newsletter.postal_address,
        unsubscribe_url=values.unsubscribe_url,
        preferences_url=values.preferences_url,
        own_url=renderer.public_url,
        told=tuple(_told(campaign)),
    )
    return [read_mail(eml, about) for eml in dict.fromkeys(_filled(compiled, values))]


def _filled(compiled: list[CompiledMessage], values: ReaderValues) -> list[bytes]:
    """Return the mails for the sample reader.

    A part that cannot be worked out fails the mail to one reader and no other, so that it is left
    out here too; raises CannotWorkOut where nothing is left.
    """
    filled = []
    for message in compiled:
        with suppress(CannotWorkOut):
            filled.append(message.personalise(values))
    return filled or [compiled[0].personalise(values)]


def published_keys(signer: DkimSigner) -> list[Key]:
    """Return the keys that we sign with, as DNS should have them."""
    return [
        Key(f"{key.selector}._domainkey.{signer.domain}", str(key.algorithm), key.public)
        for key in signer.keys
    ]


def _told(campaign: Campaign) -> Iterator[str]:
    """Yield what others wrote: what looks unfinished in it may be meant."""
    for article in campaign.content.get("articles", ()):
        yield f"{article.get('title', '')} {article.get('summary', '')} {article.get('url', '')}"


def _answers(mails: list[Mail], sender: str, asked: Asked, effort: Effort) -> list[Finding]:
    """Ask all at once; nobody waits for the sum."""
    with ThreadPoolExecutor(3) as pool:
        answers = [
            pool.submit(lambda: list(_of_links(mails, asked.probe, effort))),
            pool.submit(lambda: list(_of_dns(sender, asked))),
        ]
        if effort.spam:
            longest = max((mail.eml for mail in mails), key=len)
            answers.append(
                pool.submit(lambda: list(spam_findings(longest, asked.spamassassin, effort.total)))
            )
        return [finding for answer in answers for finding in answer.result()]


def _of_links(mails: list[Mail], probe: Probe, effort: Effort) -> Iterator[Finding]:
    """Ask one address of every host first: where none answers, nobody waits for the others."""
    everything = dict.fromkeys(target for mail in mails for target in links.targets(mail))
    wanted = list({target.url: target for target in everything}.values())
    yield from links.example_findings(links.for_examples(wanted))
    wanted = [target for target in wanted if links.is_askable(target)]
    if not wanted:
        return
    deadline = time.monotonic() + effort.total
    first = list({links.host(target): target for target in reversed(wanted)}.values())
    answers = _ask_all(first, probe, effort, deadline)
    unknown = {links.host(each) for each, reached in answers.items() if reached.unknown_host}
    if len(unknown) > 1 and not any(  # of one, the name is wrong rather than the network
        reached.status for each, reached in answers.items() if not links.is_own(each, mails)
    ):
        unasked = [each for each in wanted if links.host(each) in unknown]
        yield links.no_network(len(unasked))
        wanted = [each for each in wanted if each not in unasked]
        answers = {each: answers[each] for each in answers if each in wanted}
    alive = {links.host(target) for target, reached in answers.items() if reached.status}
    rest = [each for each in wanted if each not in answers and links.host(each) in alive]
    answers |= _ask_all(rest, probe, effort, deadline)
    yield from links.answer_findings(answers)
    if len(answers) < len(wanted):
        yield links.not_asked(len(wanted) - len(answers))


def _ask_all(
    targets: list[links.Target], probe: Probe, effort: Effort, deadline: float
) -> dict[links.Target, Reached]:
    """Ask side by side until the time is over; who has not answered by then is left out."""

    def ask(target: links.Target) -> Reached:
        return probe(target.url, seconds=min(effort.link, max(deadline - time.monotonic(), 0.1)))

    pool = ThreadPoolExecutor(_AT_ONCE)
    asking: dict[Future[Reached], links.Target] = {
        pool.submit(ask, target): target for target in targets
    }
    done, _ = wait(asking, timeout=max(deadline - time.monotonic(), 0.1))
    pool.shutdown(wait=False, cancel_futures=True)
    return {asking[each]: each.result() for each in asking if each in done}


def _of_dns(sender: str, asked: Asked) -> Iterator[Finding]:
    """Say what DNS lacks for the sender's domain; that it cannot be asked is one warning."""
    domain = wire_address(sender).rpartition("@")[2].lower()
    if is_reserved(domain):
        yield _not_looked_up(f"{domain} is a name for tests and examples: not looked up.")
        return
    signer = asked.signer
    try:
        lookup = Lookup(asked.resolver(), _DNS_SECONDS)
        judged = [
            *sender_judged(domain, signer.domain if signer else None, lookup),
            *(keys_judged(published_keys(signer), lookup) if signer else ()),
        ]
    except Unanswered as unanswered:
        yield _not_looked_up(f"{domain} could not be looked up ({unanswered}).")
        return
    for subject, judgement in judged:
        if not judgement.fine:
            yield Finding(
                Level.ERROR if subject.startswith("DKIM") else Level.WARNING,
                "sender", domain, f"{subject}: {judgement.says}", "See docs/how-to/dns.md.",
            )  # fmt: skip


def _not_looked_up(says: str) -> Finding:
    return Finding(
        Level.WARNING, "sender", "DNS", says, "Run `mailer doctor` where DNS can be asked."
    )
