"""Recording what a list says of readers who are there already, or who need more than their rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from mailer.domain.addresses import parse_address
from mailer.domain.consent import Method, SubscriptionState
from mailer.domain.importing import SUPPRESSES, ListRow, Outcome, Standing
from mailer.services.consent.adding import AddOutcome, add_reader
from mailer.services.imports.plan import Step, merged
from mailer.services.imports.rows import milliseconds, moment_of
from mailer.services.mails.renderer import Renderer
from mailer.store.consents import Evidence, record
from mailer.store.importing.prepare import Preparer, Said
from mailer.store.importing.write import insert_events, reserve_events
from mailer.store.models import Newsletter, Purpose
from mailer.store.readers import ReaderDetails
from mailer.store.suppressions import suppress


@dataclass(frozen=True, slots=True)
class Desk:
    """What is needed to write, and to ask readers one by one."""

    renderer: Renderer
    suppression_key: bytes
    now: Callable[[], datetime]


def record_known(
    session: Session, steps: Sequence[Step], preparer: Preparer, now: datetime
) -> None:
    """Record what readers say who are there already: under their own key, in bulk."""
    number = sum(sum(map(bool, step.decision.events)) for step in steps)
    numbers = iter(reserve_events(session, number) if number else ())
    preparer.begin(milliseconds(now))
    said: list[Said] = []
    first: list[Said] = []
    for step in steps:
        assert step.known is not None
        reader = step.known.reader
        reader.attributes = merged(step.known, step.row)
        if not any(step.decision.events):
            continue
        key = preparer.vault.open_key(reader.sealed_key)
        for place, state in enumerate(step.decision.events):
            if state is None:
                continue
            one = preparer.say(
                step.row, place, state, reader.id, key, reader.email, next(numbers, None)
            )
            said.append(one)
            subscription = step.known.subscriptions[place]
            if subscription is None:
                first.append(one)
            else:
                subscription.state = SubscriptionState.ACTIVE.value
                subscription.since = now
                subscription.valid_until = None if one.ends is None else moment_of(one.ends)
    session.flush()
    insert_events(session, said, first=first)


class OneByOne:
    """Records what follows for more than the reader's own rows."""

    def __init__(self, preparer: Preparer, desk: Desk, run_id: int) -> None:
        self._terms = preparer.terms
        self._desk = desk
        self._run_id = run_id

    def record(self, session: Session, step: Step, now: datetime) -> Outcome:
        """Record one reader, and return what became of the row."""
        standing = Standing(step.row.standing)
        if standing in SUPPRESSES:
            detail = f"import {self._run_id}"
            reason = SUPPRESSES[standing]
            suppress(session, step.row.hashed, reason, now=now, detail=detail)
            return Outcome.SUPPRESSED
        if standing is Standing.UNSUBSCRIBED:
            self._let_leave(session, step, now)
            return step.decision.outcome
        return self._ask(session, step.row, now)

    def _let_leave(self, session: Session, step: Step, now: datetime) -> None:
        assert step.known is not None
        purposes = zip(self._terms.purposes, step.decision.events, strict=True)
        for (purpose_id, _), state in purposes:
            if state is not None:
                purpose = session.get_one(Purpose, purpose_id)
                evidence = self._evidence(step.row)
                record(session, step.known.reader, purpose, state, evidence, now=now)

    def _ask(self, session: Session, row: ListRow, now: datetime) -> Outcome:
        outcome = add_reader(
            session,
            session.get_one(Newsletter, self._terms.newsletter_id),
            parse_address(row.email),
            purposes=[slug for _, slug in self._terms.purposes],
            details=ReaderDetails(row.name, row.locale, row.timezone),
            attributes=json.loads(row.attributes or "{}"),
            evidence=self._evidence(row),
            renderer=self._desk.renderer,
            confirm=True,
            suppression_key=self._desk.suppression_key,
            now=now,
        )
        return _OUTCOMES[outcome]

    def _evidence(self, row: ListRow) -> Evidence:
        return Evidence(
            Method.IMPORT,
            source=self._terms.source_of(row.line),
            stated_at=None if row.stated_at is None else moment_of(row.stated_at),
        )


_OUTCOMES = {
    AddOutcome.ASKED: Outcome.NEW,
    AddOutcome.ALREADY: Outcome.ALREADY,
    AddOutcome.STAYS_AWAY: Outcome.STAYS_AWAY,
    AddOutcome.SUPPRESSED: Outcome.SUPPRESSED,
}
