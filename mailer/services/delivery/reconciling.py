"""Settling uncertain deliveries by evidence: what a relay's log says of them.

begin      what is asked of the logs: the uncertain mails, and mails that the relay surely took
read       every log once, in no transaction; the mails in question are all that is kept
findings   what the logs prove (`mailer.domain.evidence`)
settle     in one transaction; whatever has changed in the meantime is left alone
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.domain.errors import Refusal
from mailer.domain.evidence import Doubt, Finding, Known, Said, judge, weakness
from mailer.inbound import EximLog, LogClock, PostfixLog, RelayLogs
from mailer.services.campaigns.course import give_another_day, lock_for_more, refuse_ended, reopen
from mailer.services.mails.composing import MailIdentity
from mailer.store.ledger import BY_LOG, Proof, doubts, settle_by_evidence, surely_sent
from mailer.store.ledger.requeue import of_campaign
from mailer.store.models import Campaign, Subscriber, delivery

_MOST_KNOWN = 100_000
"""Mails to compare the log with: enough that a gap of a second in a fast campaign is noticed."""


class NothingUncertain(Refusal):
    """There is nothing to settle."""


class Settled(NamedTuple):
    """How many deliveries a log has settled, and how."""

    sent: int
    requeued: int


@dataclass(frozen=True)
class Inquiry:
    """What is asked of the logs of one campaign's relay."""

    doubts: tuple[Doubt, ...]
    known: dict[int, Known]
    logs: RelayLogs
    clock: LogClock

    def read(self, lines: Iterable[bytes], what: str) -> dict[str, Any]:
        """Read one log to its end; return its format and from when until when it reaches."""
        kind = self.logs.read(lines, (PostfixLog(), EximLog()), what)
        span = self.logs.spans[-1]
        return {"file": what, "format": kind, "from": span.first, "until": span.last}

    def findings(self) -> list[tuple[Doubt, Finding]]:
        """Return what the logs prove of every doubt."""
        logs = self.logs
        weak = weakness(logs.sightings, self.known, lines_lost=logs.lines_lost)
        return [(each, judge(each, logs.sightings, logs.spans, weak)) for each in self.doubts]


def begin_inquiry(
    session: Session,
    campaign: Campaign,
    *,
    identity: MailIdentity,
    zone: tzinfo | None,
    resend_missing: bool,
    now: datetime,
) -> Inquiry:
    """Ask about all uncertain deliveries of the campaign.

    Raises NothingUncertain; and CannotCampaign where missing mails are to be sent again and the
    campaign has ended.
    """
    found = doubts(session, campaign)
    if not found:
        raise NothingUncertain(f"Campaign {campaign.id} has no uncertain deliveries.")
    if resend_missing:
        refuse_ended(campaign)
    known = surely_sent(session, campaign, most=_MOST_KNOWN)
    names = {
        identity.delivery_token(each): each for each in (*known, *(doubt.id for doubt in found))
    }
    clock = LogClock(zone, now=now)
    return Inquiry(tuple(found), known, RelayLogs(names, clock), clock)


def settle_findings(
    session: Session,
    campaign: Campaign,
    findings: Iterable[tuple[Doubt, Finding]],
    *,
    resend_missing: bool,
    now: datetime,
) -> Settled:
    """Settle as sent what was accepted; queue again what was not, where that is asked for."""
    if resend_missing:
        lock_for_more(session, campaign)
    proofs = [
        proof
        for doubt, finding in findings
        if (proof := _proof(doubt, finding, resend_missing)) is not None
    ]
    settled = set(settle_by_evidence(session, proofs))
    requeued = sum(each.id in settled for each in proofs if each.state is DeliveryState.QUEUED)
    if requeued:
        reopen(session, campaign)
        give_another_day(campaign, now=now)
    return Settled(len(settled) - requeued, requeued)


def described(
    session: Session,
    campaign: Campaign,
    findings: Iterable[tuple[Doubt, Finding]],
    *,
    identity: MailIdentity,
) -> list[dict[str, Any]]:
    """Return the findings as `campaign reconcile --json` prints them."""
    found = {doubt.id: finding for doubt, finding in findings}
    rows = session.execute(
        select(delivery.c.id, func.coalesce(Subscriber.email, ""))
        .outerjoin(Subscriber, Subscriber.id == delivery.c.subscriber_id)
        .where(of_campaign(campaign), delivery.c.id.in_(found))
    )
    emails: dict[int, str] = dict(rows.all())
    return [
        {
            "email": emails.get(delivery_id, ""),
            "message_id": identity.message_id(delivery_id),
            "finding": finding.said or "unclear",
            "queue_id": finding.queue_id or None,
            "at": finding.at,
            "reason": finding.reason or None,
        }
        for delivery_id, finding in found.items()
    ]


def _proof(doubt: Doubt, finding: Finding, resend_missing: bool) -> Proof | None:
    if finding.said is Said.ACCEPTED:
        when = f" at {finding.at:%Y-%m-%d %H:%M:%S} UTC" if finding.at else ""
        words = f"the relay's log: queued as {finding.queue_id}{when}"
        return Proof(
            doubt.id, doubt.period, doubt.fence, DeliveryState.SENT, finding.queue_id, BY_LOG, words
        )
    if finding.said is Said.NOT_ACCEPTED and resend_missing:
        words = f"the relay's log: {finding.reason}"
        return Proof(doubt.id, doubt.period, doubt.fence, DeliveryState.QUEUED, None, BY_LOG, words)
    return None
