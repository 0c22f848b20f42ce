"""The audit: nothing is found where nothing is wrong, and any changed row is named."""

from collections.abc import Iterator
from typing import Any

import audits as a
import building as b
import pytest
from sqlalchemy import delete, select

from mailer.domain.consent import ConsentState
from mailer.services.audit import checkpoints, events, notices, tree, walk
from mailer.store.models import ConsentEvidence, Notice
from mailer.wiring import Parts

ALL = (
    "consent_event", "consent_evidence", "consent_pending", "consent_log", "consent_checkpoint",
    "notice", "subscription",
)  # fmt: skip


def test_where_nothing_is_wrong_nothing_is_found(parts: Parts) -> None:
    a.live(parts)
    audit = a.audit(parts)
    assert [each for each in audit.findings() if not each.kind.is_note] == []
    assert audit.looked == {
        "readers": 7, "events": 20, "leaves": 19, "subscriptions": 8, "notices": 2,
        "checkpoints": 3, "deliveries": 10,
    }  # fmt: skip


def test_every_changed_column_of_every_row_is_named(parts: Parts) -> None:
    a.live(parts)
    assert list(a.unnoticed_changes(parts, *ALL)) == []
    assert a.wrong(parts) == []


def test_every_row_that_is_taken_away_is_named(parts: Parts) -> None:
    a.live(parts)
    assert list(a.unnoticed_losses(parts, *ALL)) == []
    assert a.wrong(parts) == []


def test_a_consent_that_was_renewed_is_active_since_it_was_given(parts: Parts) -> None:
    a.live(parts)
    reader = a.reader_id(parts, "list0@readers.test")
    with parts.sessions() as session:
        newest = session.scalars(select(Notice.sha256).order_by(Notice.id.desc())).first()
    a.save(parts, reader, "updates", notice=newest)
    assert b.consents(parts)[-1] == ("renewed", "preferences")
    assert a.wrong(parts) == []


def _sees_nothing(*_: Any, **__: Any) -> Iterator[Any]:
    return iter(())


@pytest.mark.parametrize(
    ("where", "what", "table"),
    [
        (events.EventCheck, "_leaf", "consent_event"),
        (events, "_place", "consent_log"),
        (walk, "check_evidence", "consent_evidence"),
        (walk, "check_subscriptions", "subscription"),
        (walk, "of_nothing", "consent_pending"),
        (notices, "_is_whole", "notice"),
        (tree.TreeWalk, "_places", "consent_log"),
        (checkpoints.Checkpoints, "findings", "consent_checkpoint"),
    ],
)
def test_an_audit_that_is_blind_in_one_eye_would_be_caught(
    sqlite_parts: Parts, monkeypatch: pytest.MonkeyPatch, where: Any, what: str, table: str
) -> None:
    a.live(sqlite_parts)
    monkeypatch.setattr(where, what, _sees_nothing)
    changes, losses = a.unnoticed_changes, a.unnoticed_losses
    assert next(changes(sqlite_parts, table), "") or next(losses(sqlite_parts, table), "")


def test_the_evidence_of_a_request_that_came_to_nothing_may_be_gone(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        for name in ("ada", "ben"):
            b.sign_up(parts, session, made, f"{name}@readers.test", now=parts.now())
    a.say(parts, "ada@readers.test", ConsentState.EXPIRED, now=parts.now())
    with parts.sessions.begin() as session:
        session.execute(delete(ConsentEvidence))
    assert [(each.table, each.row) for each in a.wrong(parts)] == [("consent_evidence", "2")]
