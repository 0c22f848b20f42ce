"""The tick: whatever time has made due. Harmless when it runs twice, or in two places at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.services.articles import Fetch, fetch_feeds
from mailer.services.campaigns import start_scheduled
from mailer.services.digests import Ran, due_digests, run_digest
from mailer.services.preparing import finish_done, waiting_campaigns
from mailer.store.engine import Sessions
from mailer.store.ledger import expire_overdue, recover_abandoned
from mailer.store.models import Digest

_log = structlog.get_logger()

GRACE = timedelta(minutes=15)
"""After a lease, until a delivery past its gate is called uncertain: longer than a relay may take
to answer the final dot (RFC 5321 §4.5.3.2.6: ten minutes)."""


def tick(sessions: Sessions, *, fetch: Fetch, now: Callable[[], datetime]) -> list[int]:
    """Do what is due; return the campaigns that wait to be prepared."""
    for digest_id in _due(sessions, now()):
        _run_digest(sessions, digest_id, fetch=fetch, now=now)
    with sessions.begin() as session:
        start_scheduled(session, now=now())
        uncertain = recover_abandoned(session, grace=GRACE)
        expire_overdue(session)
        finish_done(session, now=now())
        waiting = waiting_campaigns(session)
    if uncertain:
        _log.error("deliveries uncertain", number=uncertain)
    return waiting


def _due(sessions: Sessions, now: datetime) -> list[int]:
    with sessions() as session:
        return [digest.id for digest in due_digests(session, now=now)]


def _run_digest(
    sessions: Sessions, digest_id: int, *, fetch: Fetch, now: Callable[[], datetime]
) -> None:
    """Read the feeds, then make the campaign; a digest that cannot run says so on its row."""
    with sessions() as session:
        digest = session.get(Digest, digest_id)
        newsletter_id = digest.newsletter_id if digest else None
    if newsletter_id is None:
        return
    fetch_feeds(sessions, newsletter_id=newsletter_id, fetch=fetch, now=now)
    try:
        with sessions.begin() as session:
            outcome = run_digest(session, session.get_one(Digest, digest_id), now=now())
        if outcome is not None:
            said = f"campaign {outcome.campaign.id}" if isinstance(outcome, Ran) else outcome.reason
            _log.info("digest", digest=digest_id, outcome=said)
    except Refusal as refusal:
        _log.error("digest cannot run", digest=digest_id, reason=str(refusal))
        with sessions.begin() as session:
            _put_off(session, digest_id, str(refusal), now())


def _put_off(session: Session, digest_id: int, reason: str, now: datetime) -> None:
    digest = session.get(Digest, digest_id, with_for_update=True)
    if digest is not None:
        digest.last_outcome = reason
        digest.next_run_at = now + timedelta(minutes=5)
