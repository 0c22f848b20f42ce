"""A whole list of addresses at once: who stands on it gets nothing more."""

from __future__ import annotations

from collections.abc import Iterable

import building as b
from sqlalchemy import func, select

from mailer.domain.suppression_list import Rejected, read_suppressions
from mailer.services.readers.suppressing import Imported, import_suppressions
from mailer.store.models import Suppression, delivery
from mailer.store.suppressions import Added
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

MANY = 500


def take_in(
    parts: Parts, lines: Iterable[str], rejects: list[Rejected] | None = None
) -> tuple[Imported, list[Added]]:
    told: list[Added] = []
    raw = (f"{line}\n".encode() for line in lines)
    done = import_suppressions(
        parts.sessions,
        read_suppressions(raw, parts.suppression_key),
        scope="all", detail="by phone", now=parts.now, pause=lambda: None,
        note=lambda _, done: told.append(done),
        reject=(rejects if rejects is not None else []).append,
    )  # fmt: skip
    return done, told


def test_who_is_on_an_imported_list_gets_nothing_more(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 4)
    done, told = take_in(parts, ["Reader1@readers.test", "reader3@readers.test", "x@readers.test"])
    assert done == Imported(added=3)
    assert told == [Added(3, [2, 4])]
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert b.states(parts, campaign_id) == {
        "reader0@readers.test": "sent",
        "reader1@readers.test": "suppressed",
        "reader2@readers.test": "sent",
        "reader3@readers.test": "suppressed",
    }


def test_a_list_for_one_newsletter_ends_only_its_mails(parts: Parts) -> None:
    b.sending_campaign(parts, 2)
    with parts.sessions.begin() as session:
        b.newsletter(session, "daily")
    rejects: list[Rejected] = []
    done, _ = take_in(
        parts,
        ["email,scope", "reader0@readers.test,daily", "reader1@readers.test,weekly", "a@b.test,no"],
        rejects,
    )
    assert (done.added, done.rejected) == (2, 1)
    assert (rejects[0].line, rejects[0].why) == (4, "there is no newsletter “no”")
    assert sorted(b.states(parts).values()) == ["queued", "suppressed"]


def test_a_confirmation_on_its_way_to_a_listed_address_is_ended(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.sign_up(parts, session, b.newsletter(session), "new@readers.test", now=parts.now())
    take_in(parts, ["new@readers.test"])
    with parts.sessions() as session:
        assert session.scalars(select(delivery.c.state)).all() == ["suppressed"]


def test_an_import_that_is_repeated_or_was_interrupted_changes_nothing_more(parts: Parts) -> None:
    lines = [f"reader{number}@readers.test" for number in range(MANY + 100)]
    take_in(parts, lines[: MANY // 2])  # where the power went
    done, _ = take_in(parts, [*lines, *lines[:5], "reader0@readers.test\0=1"])
    assert done == Imported(added=MANY // 2 + 100, known=MANY // 2 + 5, rejected=1)
    with parts.sessions() as session:
        before = session.execute(select(Suppression.__table__).order_by(Suppression.id)).all()
    done, told = take_in(parts, lines)
    assert (done, told) == (Imported(known=len(lines)), [])
    with parts.sessions() as session:
        after = session.execute(select(Suppression.__table__).order_by(Suppression.id)).all()
        assert after == before
        assert session.scalar(select(func.count()).select_from(Suppression)) == len(lines)
        assert {row.detail for row in after} == {"by phone"}
