"""The audit's walk: notices, the log with its tiles and checkpoints, then reader after reader.

Every page is read as it stood at one moment, in a transaction of its own that only reads. What is
written meanwhile is left for the next audit, except to readers whom this one has not come to.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from sqlalchemy.orm import Session

from mailer.services.audit.checkpoints import Checkpoints
from mailer.services.audit.deliveries import Ground, check_delivery, is_in_question
from mailer.services.audit.events import EventCheck, of_nothing
from mailer.services.audit.evidence import check_evidence
from mailer.services.audit.findings import Finding, Kind
from mailer.services.audit.notices import NoticeCheck
from mailer.services.audit.projection import Histories, check_subscriptions, fold
from mailer.services.audit.tree import TreeWalk
from mailer.services.consent.checkpoints import Notary
from mailer.store.auditing import Page, SuppressionRow, attempts_of, read_page, snapshot
from mailer.store.auditing_log import (
    Extent,
    PurposeRow,
    damage,
    evidence_of_nothing,
    pending_of_nothing,
    purposes_of_campaigns,
    read_checkpoints,
    read_extent,
    read_notices,
)
from mailer.store.engine import Sessions
from mailer.store.vault import Vault

Advance = Callable[[int, int | None], None]

_ROWS_A_PAGE = 5_000
_BEFORE_ALL = -(2**63)


class Audit:
    """One audit: what it finds, and how much it has looked at."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        notary: Notary,
        home: Path,
        advance: Advance = lambda done, total: None,
    ) -> None:
        self._sessions = sessions
        self._notary = notary
        self._home = home
        self._advance = advance
        self._total = 0
        self.looked: Counter[str] = Counter()
        """How many rows of each kind were looked at."""

    def findings(self) -> Iterator[Finding]:
        """Walk over everything, and yield what does not hold as it is found."""
        checkpoints = Checkpoints(self._notary)  # before the log, which only gets longer
        yield from self._about_rollbacks(checkpoints.in_folder)
        with snapshot(self._sessions) as session:
            extent = read_extent(session)
            notices = NoticeCheck()
            found = list(notices.take(read_notices(session)))
        self._total = extent.events + extent.leaves
        yield from found
        yield from self._log(extent, checkpoints)
        yield from self._readers(notices)
        yield from notices.rest()
        self.looked["notices"] = len(notices.rows)
        with snapshot(self._sessions) as session:  # by now whoever signed meanwhile has committed
            stored = read_checkpoints(session)
        yield from checkpoints.lost(stored)

    def _about_rollbacks(self, witnessed: int) -> Iterator[Finding]:
        """Say so where a rollback could not be detected."""
        folder = self._notary.folder.path
        if not witnessed:
            why = "holds no checkpoint that can be read"
        elif folder.resolve().is_relative_to(self._home.resolve()):
            why = "stands beside the database, so that one backup has both"
        else:
            return
        yield Finding(
            Kind.WITNESS, "witness", str(folder),
            f"The witness folder {why}: a rollback of the database cannot be detected. Let "
            "MAILER_WITNESS_DIR name a folder that its backups do not cover.",
        )  # fmt: skip

    def _log(self, extent: Extent, checkpoints: Checkpoints) -> Iterator[Finding]:
        yield from checkpoints.findings(extent.checkpoints)
        sizes = [each.size for each in checkpoints.signed]
        walk = TreeWalk(self._sessions, extent, sizes, self._count)
        yield from walk.findings()
        yield from checkpoints.compare(walk.roots, walk.length)
        self.looked["checkpoints"] = len(checkpoints.signed)
        with snapshot(self._sessions) as session:
            for table, row, words in damage(session):
                yield Finding(Kind.DAMAGE, table, row, f"The database's file is damaged: {words}.")
            yield from of_nothing("consent_pending", pending_of_nothing(session))
            yield from of_nothing("consent_evidence", evidence_of_nothing(session))

    def _readers(self, notices: NoticeCheck) -> Iterator[Finding]:
        check = EventCheck(notices)
        after: int | None = _BEFORE_ALL
        while after is not None:
            with snapshot(self._sessions) as session:
                page = read_page(session, after, _ROWS_A_PAGE)
                found = list(self._page(session, page, check))
            yield from found
            after = page.last

    def _page(self, session: Session, page: Page, check: EventCheck) -> Iterator[Finding]:
        yield from check.learn(session, page.events)
        for event in page.events:
            yield from check.check(event)
        vault = Vault.of(session)
        for reader, events in groupby(page.events, attrgetter("subscriber_id")):
            self.looked["readers"] += 1
            yield from check_evidence(
                vault, reader, page.keys.get(reader), list(events), erased=reader in page.erased
            )
        folded = fold(page.events)
        yield from folded.impossible
        yield from check_subscriptions(
            page.subscriptions, folded.histories, page.keys, check.purposes
        )
        yield from _deliveries(session, page, folded.histories, check.purposes)
        self.looked["subscriptions"] += len(page.subscriptions)
        self.looked["deliveries"] += len(page.deliveries)
        self._count("events", len(page.events))

    def _count(self, what: str, number: int) -> None:
        self.looked[what] += number
        self._advance(self.looked["events"] + self.looked["leaves"], self._total)


def _deliveries(
    session: Session, page: Page, histories: Histories, purposes: Mapping[int, PurposeRow]
) -> Iterator[Finding]:
    campaigns = {row.campaign_id for row in page.deliveries if row.campaign_id is not None}
    of_newsletter: defaultdict[int, list[int]] = defaultdict(list)
    for purpose in purposes.values():
        of_newsletter[purpose.newsletter_id].append(purpose.id)
    suppressions: defaultdict[int, list[SuppressionRow]] = defaultdict(list)
    for each in page.suppressions:
        suppressions[each.subscriber_id].append(each)
    ground = Ground(
        histories, purposes, of_newsletter, purposes_of_campaigns(session, campaigns), suppressions
    )
    in_question = [row for row in page.deliveries if is_in_question(row, ground)]
    tries = attempts_of(session, in_question)
    for row in in_question:
        yield from check_delivery(row, tries.get(row.id, ()), ground)
