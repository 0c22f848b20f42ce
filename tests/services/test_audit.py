"""The audit: nothing is found where nothing is wrong, and any changed row is named."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import audits as a
import building as b
import pytest
from sqlalchemy import delete, select

from mailer.domain.consent import ConsentState
from mailer.services.audit import Kind, checkpoints, events, notices, tree, walk
from mailer.services.audit.order import LATE
from mailer.services.consent.log import sequence_leaves
from mailer.services.newsletters.notices import wording_of
from mailer.store.models import ConsentEvent, ConsentEvidence, Newsletter, Notice
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


def test_a_wording_that_was_changed_together_with_its_hash_is_named(parts: Parts) -> None:
    a.live(parts)
    with parts.sessions() as session:
        made = session.scalars(select(Newsletter)).one()
        notice = session.scalars(select(Notice).where(Notice.version == 1)).one()
        forged = replace(wording_of(made, notice), text="We may write whatever we like.")
        events = session.scalars(
            select(ConsentEvent.id).where(ConsentEvent.notice_id == notice.id)
        ).all()
    with a.hand_in(parts) as hand:
        hand.update("notice", "text", forged.text, {"id": notice.id})
        hand.update("notice", "sha256", forged.sha256, {"id": notice.id})
    named = [(each.table, each.row) for each in a.wrong(parts)]
    assert sorted(named) == sorted(
        [("notice", str(notice.id)), *(("consent_event", str(event)) for event in events)]
    )


def test_a_consent_that_was_put_in_later_than_it_says_is_named(parts: Parts) -> None:
    a.live(parts)
    _sign_up(parts, "made-up@readers.test", timedelta(days=-30))
    _sign_up(parts, "quick@readers.test", -LATE / 2)  # a clock may be behind
    [found] = a.wrong(parts)
    assert (found.kind, found.table, found.row) == (Kind.TIME, "consent_log", "20")
    assert "it was put in later than it says, or a clock was wrong." in found.words
    assert "places behind it" not in found.words
    for name in ("one", "two", "three"):
        _sign_up(parts, f"{name}@readers.test", timedelta(days=-30))
    _sign_up(parts, "honest@readers.test", timedelta())
    first, run = a.wrong(parts)
    assert (first.row, run.row) == ("20", "22")
    assert run.words.endswith("So do the 2 places behind it.")


def _sign_up(parts: Parts, address: str, ago: timedelta) -> None:
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        b.sign_up(parts, session, made, address, now=parts.now() + ago)
    sequence_leaves(parts.sessions)


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
