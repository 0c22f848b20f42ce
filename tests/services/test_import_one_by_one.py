"""A list does what adding its readers one by one does."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import building as b
import pytest
from imports import OUTCOMES, counts, refuse_unsound, take_in, write_list
from sqlalchemy import select

from mailer.domain.consent import ConsentState, Method
from mailer.domain.suppression import SuppressionReason
from mailer.services.consent.adding import AddOutcome, add_reader
from mailer.store.consents import Evidence, record
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    Newsletter,
    Purpose,
    Subscriber,
    Subscription,
)
from mailer.store.readers import ReaderDetails, find_or_add_reader
from mailer.store.suppressions import suppress
from mailer.store.vault import Vault
from mailer.wiring import Parts


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("made")
def test_a_list_does_what_adding_its_readers_one_by_one_does(
    parts: Parts, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    purposes = ("updates", "partner-promotions")
    _random_past(parts, rng)
    rows = [
        (_spelled(rng, f"reader{number}@readers.test"), rng.choice(("", "", "Lagos", "Abuja")))
        for number in rng.sample(range(60), 60)
    ]
    path = write_list(tmp_path / "list.csv", "email,city", *(",".join(row) for row in rows))
    expected, outcomes = _one_by_one(parts, rows, purposes)
    report = take_in(parts, path, purposes=purposes, columns={"attribute.city": "city"})
    assert _left_behind(parts) == expected
    assert counts(report) == outcomes
    refuse_unsound(parts)


def _spelled(rng: random.Random, address: str) -> str:
    return address.upper() if rng.random() < 0.2 else address


def _random_past(parts: Parts, rng: random.Random) -> None:
    """Readers who have said this and that before; some are suppressed."""
    with parts.sessions.begin() as session:
        purposes = session.scalars(select(Purpose)).all()
        for number in rng.sample(range(60), 35):
            address = b.parse_address(f"reader{number}@readers.test")
            reader = find_or_add_reader(
                session, address, parts.suppression_key, ReaderDetails(name="Known"), now=b.NOW
            )
            for purpose in rng.sample(purposes, rng.randint(0, 2)):
                for state in rng.choices(list(ConsentState), k=rng.randint(1, 3)):
                    record(session, reader, purpose, state, Evidence(Method.FORM), now=b.NOW)
            if rng.random() < 0.1:
                scope = rng.choice(("all", "weekly", "daily"))
                reason = SuppressionReason.OPERATOR
                suppress(session, reader.address_hash, reason, now=b.NOW, scope=scope)


def _one_by_one(
    parts: Parts, rows: list[tuple[str, str]], purposes: tuple[str, ...]
) -> tuple[Any, dict[str, int]]:
    """Add the readers one by one and return what that leaves behind; then take it all back."""
    outcomes: Counter[str] = Counter()
    with parts.sessions() as session:
        newsletter = session.scalars(select(Newsletter)).one()
        for line, (address, city) in enumerate(rows, 2):
            outcome = add_reader(
                session, newsletter, b.parse_address(address), purposes=purposes,
                details=ReaderDetails(), attributes={"city": city} if city else {},
                evidence=Evidence(Method.IMPORT, source=f"paper (list.csv, line {line})"),
                renderer=parts.renderer, confirm=False, suppression_key=parts.suppression_key,
                now=parts.now(),
            )  # fmt: skip
            outcomes[_NAMES[outcome]] += 1
        left = _of_session(session)
        session.rollback()
    return left, dict(sorted(outcomes.items(), key=lambda each: OUTCOMES.index(each[0])))


_NAMES = {
    AddOutcome.ADDED: "new", AddOutcome.ALREADY: "already", AddOutcome.STAYS_AWAY: "stays_away",
    AddOutcome.SUPPRESSED: "suppressed",
}  # fmt: skip


def _left_behind(parts: Parts) -> Any:
    with parts.sessions() as session:
        return _of_session(session)


def _of_session(session: Any) -> Any:
    """Readers, subscriptions and events with their evidence, without numbers and times of day."""
    vault = Vault.of(session)
    readers = session.execute(
        select(Subscriber.email, Subscriber.name, Subscriber.attributes, Subscriber.provider)
    )
    subscriptions = session.execute(
        select(
            Subscriber.email, Subscription.purpose_id, Subscription.newsletter_id,
            Subscription.state, Subscription.valid_until, Subscription.request,
            Subscription.details,
        ).join(Subscription, Subscription.subscriber_id == Subscriber.id)
    )  # fmt: skip
    events = session.execute(
        select(Subscriber, ConsentEvent, ConsentEvidence.sealed)
        .join(ConsentEvent, ConsentEvent.subscriber_id == Subscriber.id)
        .join(ConsentEvidence, ConsentEvidence.event == ConsentEvent.id)
    )
    said = [
        (
            reader.email, event.newsletter_id, event.purpose_id, event.state, event.method,
            event.basis, event.notice_id, event.stated_at, event.valid_until,
            vault.open(vault.open_key(reader.sealed_key), event.event_id, sealed),
        )
        for reader, event, sealed in events
    ]  # fmt: skip
    return [sorted(map(repr, rows)) for rows in (readers, subscriptions, said)]
