"""A list never goes against what a reader said."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import building as b
import pytest
from imports import counts, known_people, refuse_unsound, standing, take_in, write_list
from sqlalchemy import select

from mailer.domain.consent import Method
from mailer.services.consent.preferences import withdraw
from mailer.store.consents import Evidence
from mailer.store.models import (
    ConsentEvent,
    JournalPending,
    Subscriber,
    Suppression,
)
from mailer.store.readers import find_reader
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts


@pytest.mark.usefixtures("made")
def test_nobody_comes_back_who_left_refused_complained_or_is_suppressed(
    parts: Parts, tmp_path: Path
) -> None:
    path = known_people(parts, tmp_path)
    before = standing(parts)
    report = take_in(parts, path)
    assert counts(report) == {
        "new": 3, "already": 1, "stays_away": 2, "suppressed": 2, "doubled": 1, "rejected": 1,
    }  # fmt: skip
    after = standing(parts)
    assert after == {
        **before,
        "expired@readers.test": {"updates": "active"},
        "pending@readers.test": {"updates": "active"},
        "New@readers.test": {"updates": "active"},
    }


@pytest.mark.usefixtures("made")
def test_who_left_elsewhere_stays_away_here_and_from_later_lists(
    parts: Parts, tmp_path: Path
) -> None:
    known = known_people(parts, tmp_path)
    path = write_list(
        tmp_path / "status.csv",
        "email,status,unsubscribed_at",
        "active@readers.test,unsubscribed,2025-01-05",
        "pending@readers.test,Unsubscribed,",
        "expired@readers.test,opted-out,",
        "new@readers.test,unsubscribed,",
        "twice@readers.test,subscribed,",
        "TWICE@readers.test,unsubscribed,",
        "gone@readers.test,hard bounced,",
        "angry@readers.test,complained,",
        "listed@readers.test,blocklisted,",
        "never@readers.test,pending,",
        "odd@readers.test,VIP,",
    )
    report = take_in(parts, path)
    assert counts(report) == {"left": 5, "suppressed": 3, "doubled": 1, "rejected": 2}
    assert [each["line"] for each in report["examples"]["rejected"]] == [11, 12]
    with parts.sessions() as session:
        reasons = Counter(session.scalars(select(Suppression.reason)))
        assert reasons == {"complaint": 4, "hard-bounce": 1, "operator": 1}
        reader = find_reader(session, b.parse_address("active@readers.test"), parts.suppression_key)
        assert reader
        last = session.scalars(
            select(ConsentEvent)
            .where(ConsentEvent.subscriber_id == reader.id)
            .order_by(ConsentEvent.id.desc())
        ).first()
        assert last
        assert (last.state, last.method) == ("withdrawn", "import")
        assert last.stated_at
    states = {address.lower(): state for address, state in standing(parts).items()}
    assert states["active@readers.test"] == {"updates": "left"}
    for name in ("pending", "expired", "new", "twice"):
        assert states[f"{name}@readers.test"] == {"updates": "refused"}
    assert _told(parts) >= {
        ("withdrawals", "withdrawn", "active@readers.test"),
        *(
            ("withdrawals", "refused", f"{name}@readers.test")
            for name in ("expired", "new", "twice")
        ),
        ("suppressions", "hard-bounce", "gone@readers.test"),
    }
    assert counts(take_in(parts, known)) == {
        "stays_away": 6, "suppressed": 2, "doubled": 1, "rejected": 1,
    }  # fmt: skip
    again = take_in(parts, path, source="once more")
    assert counts(again) == {"stays_away": 5, "suppressed": 3, "doubled": 1, "rejected": 2}
    refuse_unsound(parts)


def _told(parts: Parts) -> set[tuple[str, str, str]]:
    """What the witness folder is to learn: journal, word and address."""
    names = ("active", "pending", "expired", "new", "twice", "gone", "angry", "listed")
    addresses = {
        b.address_hash(b.parse_address(f"{name}@readers.test"), parts.suppression_key): name
        for name in names
    }
    with parts.sessions() as session:
        return {
            (
                each.journal,
                each.line.get("state") or each.line["reason"],
                f"{addresses[each.line['address_hash']]}@readers.test",
            )
            for each in session.scalars(select(JournalPending))
            if each.line["address_hash"] in addresses
        }


@pytest.mark.usefixtures("made")
def test_readers_who_are_asked_get_one_confirmation_and_are_mailed_nothing_else(
    parts: Parts, tmp_path: Path
) -> None:
    known = known_people(parts, tmp_path)
    path = write_list(
        tmp_path / "ask.csv", "email,status", "ada@readers.test,subscribed",
        "bola@readers.test,unconfirmed", "left@readers.test,subscribed",
        "active@readers.test,subscribed", "cleo@readers.test,unsubscribed",
    )  # fmt: skip
    foreseen = take_in(parts, path, confirm=True, dry_run=True)
    report = take_in(parts, path, confirm=True)
    assert counts(report) == {"new": 2, "already": 1, "stays_away": 1, "left": 1}
    assert counts(report) == counts(foreseen)
    assert take_in(parts, path, confirm=True)["imported_before"]
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert sorted(envelope.recipient for envelope, _ in transport.accepted) == [
        "ada@readers.test", "bola@readers.test",
    ]  # fmt: skip
    states = standing(parts)
    assert states["ada@readers.test"] == states["bola@readers.test"] == {"updates": "pending"}
    assert known.exists()


@pytest.mark.usefixtures("made")
def test_who_leaves_after_the_import_is_mailed_no_more_and_who_is_known_keeps_their_key(
    parts: Parts, tmp_path: Path
) -> None:
    path = write_list(tmp_path / "list.csv", "email", "ada@readers.test")
    take_in(parts, path)
    with parts.sessions.begin() as session:
        reader = session.scalars(select(Subscriber)).one()
        key = reader.sealed_key
        withdraw(session, reader, Evidence(Method.ONE_CLICK), now=parts.now())
    assert counts(take_in(parts, path, source="later")) == {"stays_away": 1}
    more = take_in(parts, path, source="later", purposes=("partner-promotions",))
    assert counts(more) == {"new": 1}
    with parts.sessions() as session:
        assert session.scalars(select(Subscriber)).one().sealed_key == key
    assert standing(parts) == {
        "ada@readers.test": {"updates": "left", "partner-promotions": "active"}
    }
    refuse_unsound(parts)
