"""What time has made due. Harmless when it runs twice, or in two places at once.

`tick`   every few seconds: campaigns that start, go on or end; quick, and never waits for a network
`read_feeds`, `run_due_digests`   read feeds, which may take long
`sweep`  every minute: what is left behind by the dead, and what has run out of time

Every step stands alone: one that fails is logged and stops no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from mailer.domain.errors import Refusal
from mailer.services.articles.articles import Fetch
from mailer.services.articles.feeds import fetch_feeds, has_due_feeds, read_due_feeds
from mailer.services.articles.images import NONE, ImageKeeper
from mailer.services.campaigns.canary import judge_canaries
from mailer.services.campaigns.course import close_ended, finish_done, start_scheduled
from mailer.services.campaigns.own_time import zones_of_digest
from mailer.services.campaigns.preparing import waiting_campaigns
from mailer.services.consent.expiring import expire_consents, expire_requests, expire_unanswered
from mailer.services.digests.approvals import expire_approvals
from mailer.services.digests.digests import (
    Occasion,
    Ran,
    begin_due_runs,
    has_due_digests,
    look_ahead,
    put_off,
    run_digest,
)
from mailer.store.engine import Sessions, reading
from mailer.store.halting import halted_reason
from mailer.store.ledger import expire_overdue, find_abandoned, recover_abandoned

_log = structlog.get_logger()

GRACE = timedelta(minutes=15)
"""After a lease, until a delivery past its gate is called uncertain: longer than a relay may take
to answer the final dot (RFC 5321 §4.5.3.2.6: ten minutes)."""

_MOST_BATCHES = 200


@dataclass(frozen=True, slots=True)
class Due:
    """What waits for a worker: campaigns to prepare, and whether digests or feeds are due."""

    campaigns: tuple[int, ...]
    digests: bool
    feeds: bool = False


def tick(sessions: Sessions, *, now: Callable[[], datetime]) -> Due:
    """Start what is scheduled, judge samples, end what is done, and say what waits.

    While the installation is halted nothing of that, and nothing waits.
    """
    with reading(sessions) as session:
        if halted_reason(session) is not None:
            return Due((), digests=False)
    _step("start scheduled campaigns", lambda: start_scheduled(sessions, now=now()))
    _step("end what nobody approved", lambda: expire_approvals(sessions, now=now()))
    _step("judge canaries", lambda: judge_canaries(sessions, now=now()))
    _step("end campaigns", lambda: _in_transaction(sessions, finish_done, now))
    with reading(sessions) as session:
        return Due(
            tuple(waiting_campaigns(session)),
            has_due_digests(session, now=now()),
            has_due_feeds(session, now=now()),
        )


def read_feeds(sessions: Sessions, *, fetch: Fetch, now: Callable[[], datetime]) -> int:
    """Read the feeds whose time has come; return how many new articles they had."""
    with reading(sessions) as session:
        if halted_reason(session) is not None:
            return 0
    reports = read_due_feeds(sessions, fetch=fetch, now=now)
    for read in reports:
        if read.error:
            _log.warning("feed cannot be read", feed=read.location, reason=read.error)
    return sum(read.added for read in reports)


def run_due_digests(
    sessions: Sessions, *, fetch: Fetch, images: ImageKeeper, now: Callable[[], datetime]
) -> int:
    """Run every digest that is due and that nobody is at; return how many became campaigns."""
    with sessions.begin() as session:
        if halted_reason(session) is not None:
            return 0
        occasions = begin_due_runs(session, now=now())
    return sum(
        _run(sessions, occasion, fetch=fetch, images=images, now=now) for occasion in occasions
    )


def sweep(
    sessions: Sessions,
    *,
    now: Callable[[], datetime],
    pause: Callable[[], None] = lambda: None,
) -> int:
    """Put right what dead workers left, and end what is overdue; return how many are uncertain.

    In batches, with a `pause` after each, so that others may write in between.
    """
    uncertain = 0

    def recover() -> None:
        nonlocal uncertain
        with reading(sessions) as session:
            found = find_abandoned(session, grace=GRACE)
        if found:
            with sessions.begin() as session:
                uncertain = recover_abandoned(session, found, grace=GRACE)

    _step("recover", recover)
    for words, work in (
        ("expire mails", lambda session, *, now: expire_overdue(session)),
        ("close ended campaigns", close_ended),
        ("expire requests", expire_requests),
        ("expire consents", expire_consents),
    ):
        _step(words, lambda work=work: _to_the_end(sessions, work, now, pause))  # type: ignore[misc]
    _step("expire unanswered", lambda: expire_unanswered(sessions, now=now(), pause=pause))
    if uncertain:
        _log.error("deliveries uncertain", number=uncertain)
    return uncertain


def _run(
    sessions: Sessions,
    occasion: Occasion,
    *,
    fetch: Fetch,
    images: ImageKeeper,
    now: Callable[[], datetime],
) -> bool:
    """Read feeds and images, then make the campaign; one that cannot run says so on its row."""
    try:
        fetch_feeds(
            sessions, newsletter_id=occasion.newsletter_id, fetch=fetch, now=now, spare=True
        )
        with reading(sessions) as session:
            outlook = look_ahead(session, occasion, now=now())
            zones = zones_of_digest(session, occasion.digest_id)
        kept = NONE if outlook is None or outlook.shortfall else images.keep(outlook.chosen)
        with sessions.begin() as session:
            outcome = run_digest(
                session, occasion, outlook=outlook, images=kept, zones=zones, now=now()
            )
    except Exception as error:
        known = isinstance(error, Refusal)
        reason = str(error) if known else f"it cannot run: {error!r}"
        _log.error("digest put off", digest=occasion.digest_id, reason=reason, exc_info=not known)
        with sessions.begin() as session:
            put_off(session, occasion, reason, now=now())
        return False
    if outcome is not None:
        said = f"campaign {outcome.campaign.id}" if isinstance(outcome, Ran) else outcome.reason
        _log.info("digest", digest=occasion.digest_id, outcome=said)
    return isinstance(outcome, Ran)


Work = Callable[..., int]


def _in_transaction(sessions: Sessions, work: Work, now: Callable[[], datetime]) -> int:
    with sessions.begin() as session:
        return work(session, now=now())


def _to_the_end(
    sessions: Sessions, work: Work, now: Callable[[], datetime], pause: Callable[[], None]
) -> None:
    for _ in range(_MOST_BATCHES):
        if not _in_transaction(sessions, work, now):
            return
        pause()


def _step(words: str, step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:
        _log.exception("step failed", step=words)
