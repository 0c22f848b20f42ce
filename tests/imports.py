"""Lists that are imported in tests: what an import needs, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import building as b
from sqlalchemy import select

from mailer.domain.consent import ConsentState, Method
from mailer.domain.importing import Outcome
from mailer.domain.leaves import Leaf, commitment, commitment_key
from mailer.domain.suppression import SuppressionReason
from mailer.services.audit import Audit
from mailer.services.imports.importing import Surroundings, import_list
from mailer.services.imports.known import Desk
from mailer.services.imports.order import ImportOrder
from mailer.store.consents import Evidence, ShownNotice, notice_ref, record
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    ImportRun,
    Newsletter,
    Notice,
    OperatorAction,
    PendingLeaf,
    Purpose,
    Subscriber,
    Subscription,
    Suppression,
)
from mailer.store.readers import find_or_add_reader
from mailer.store.suppressions import suppress
from mailer.store.vault import Vault
from mailer.wiring import Parts

OUTCOMES = [str(outcome) for outcome in Outcome]


def surroundings(
    parts: Parts, progress: Callable[[str, int, int], object] | None = None
) -> Surroundings:
    """What an import needs, of these parts."""
    return Surroundings(
        sessions=parts.sessions,
        desk=Desk(parts.renderer, parts.suppression_key, parts.now),
        folder=parts.settings.home,
        operator=parts.operator,
        pause=lambda: None,
        progress=progress or (lambda doing, done, total: None),
    )


def write_list(path: Path, *rows: str) -> Path:
    """Write a CSV file of these lines."""
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


def take_in(parts: Parts, path: Path, *, dry_run: bool = False, **more: Any) -> dict[str, Any]:
    """Import a file into the weekly; the numbers add up."""
    order = ImportOrder(
        **{
            "newsletter": "weekly",
            "path": path,
            "purposes": ("updates",),
            "source": "paper",
            **more,
        }
    )
    report = import_list(order, surroundings(parts), dry_run=dry_run)
    assert sum(report[outcome] for outcome in OUTCOMES) == report["rows"]
    return report


def counts(report: dict[str, Any]) -> dict[str, int]:
    """The outcomes that there were."""
    return {outcome: report[outcome] for outcome in OUTCOMES if report[outcome]}


def everything(parts: Parts) -> dict[str, list[Any]]:
    """All that an import could write."""
    tables = (
        Subscriber, Subscription, ConsentEvent, ConsentEvidence, PendingLeaf, Suppression,
        ImportRun, OperatorAction,
    )  # fmt: skip
    with parts.sessions() as session:
        return {
            table.__tablename__: session.execute(
                select(table.__table__).order_by(*table.__table__.primary_key)
            ).all()
            for table in tables
        }


def standing(parts: Parts) -> dict[str, dict[str, str]]:
    """Address → purpose → state."""
    found: dict[str, dict[str, str]] = {}
    with parts.sessions() as session:
        rows = session.execute(
            select(Subscriber.email, Purpose.slug, Subscription.state)
            .outerjoin(Subscription, Subscription.subscriber_id == Subscriber.id)
            .outerjoin(Purpose, Purpose.id == Subscription.purpose_id)
        )
        for email, slug, state in rows:
            found.setdefault(email, {})
            if slug:
                found[email][slug] = state
    return found


def refuse_unsound(parts: Parts) -> None:
    """Every event is a leaf that its columns hash to, with evidence that opens and fits."""
    with parts.sessions() as session:
        vault = Vault.of(session)
        rows = session.execute(
            select(ConsentEvent, Newsletter.slug, Purpose.slug, Subscriber.sealed_key)
            .join(Newsletter, Newsletter.id == ConsentEvent.newsletter_id)
            .join(Purpose, Purpose.id == ConsentEvent.purpose_id)
            .join(Subscriber, Subscriber.id == ConsentEvent.subscriber_id)
        ).all()
        pending = set(session.scalars(select(PendingLeaf.event)))
        sealed = dict(session.execute(select(ConsentEvidence.event, ConsentEvidence.sealed)).all())
        assert pending == set(sealed) == {row[0].id for row in rows}
        for event, newsletter, purpose, sealed_key in rows:
            key = vault.open_key(sealed_key)
            personal = vault.open(key, event.event_id, sealed[event.id])
            committed = commitment(commitment_key(key, event.event_id), personal)
            notice = session.get(Notice, event.notice_id) if event.notice_id else None
            leaf = Leaf(
                event.event_id, event.at, newsletter, purpose, event.subscriber_id, event.state,
                event.method, event.basis,
                notice_ref(ShownNotice(notice, event.notice_assumed)) if notice else None,
                committed, event.stated_at, event.valid_until,
            )  # fmt: skip
            assert (event.commitment, event.leaf_hash) == (committed, leaf.hash)
    audit = Audit(parts.sessions, notary=parts.notary, home=parts.settings.home)
    assert [each for each in audit.findings() if not each.kind.is_note] == []


def known_people(parts: Parts, tmp_path: Path) -> Path:
    """Readers in every state, and a list with all of them."""
    with parts.sessions.begin() as session:
        updates = session.scalars(select(Purpose).where(Purpose.slug == "updates")).one()
        _say(parts, session, updates, "active", ConsentState.GIVEN)
        _say(parts, session, updates, "pending", ConsentState.REQUESTED)
        _say(parts, session, updates, "left", ConsentState.GIVEN, ConsentState.WITHDRAWN)
        _say(parts, session, updates, "refused", ConsentState.REFUSED)
        _say(parts, session, updates, "expired", ConsentState.GIVEN, ConsentState.EXPIRED)
        for name, scope in (("complained", "all"), ("suppressed", "weekly"), ("other", "daily")):
            hashed = b.address_hash(b.parse_address(f"{name}@readers.test"), parts.suppression_key)
            suppress(session, hashed, SuppressionReason.COMPLAINT, now=b.NOW, scope=scope)
    names = ("active", "pending", "left", "refused", "expired", "complained", "suppressed", "new")
    return write_list(
        tmp_path / "list.csv",
        "email,name",
        *(f"{name.capitalize()}@readers.test,x" for name in names),
        "NEW@readers.test,y",
        "no address,y",
    )


def _say(parts: Parts, session: Any, purpose: Purpose, name: str, *states: ConsentState) -> None:
    address = b.parse_address(f"{name}@readers.test")
    reader = find_or_add_reader(session, address, parts.suppression_key, now=b.NOW)
    for state in states:
        record(session, reader, purpose, state, Evidence(Method.FORM), now=b.NOW)
