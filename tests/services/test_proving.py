"""What a proof holds, whom it tells nothing of, and when none is made."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import building as b
import pytest
from audits import wrong
from log_rows import add_events
from sqlalchemy import delete, select, update
from tampering import unguarded

from mailer.domain.addresses import parse_address
from mailer.domain.consent import Method
from mailer.domain.proofs import Proved, verify_proof
from mailer.services.consent.adding import add_reader
from mailer.services.consent.checkpoints import LogContradicted, sign_checkpoint
from mailer.services.consent.proving import Asked, NothingToProve, prove
from mailer.services.readers.readers import UnknownReader
from mailer.store.consents import Evidence
from mailer.store.log import LogDamaged
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    LogCheckpoint,
    LogEntry,
    LogTile,
    Newsletter,
    Notice,
    OperatorAction,
    PendingLeaf,
    Subscriber,
)
from mailer.store.readers import ReaderDetails
from mailer.wiring import Parts

ADA = "ada@readers.test"


def ask(parts: Parts, event_id: str | None = None, reader: str = ADA) -> Asked:
    return Asked(reader, event_id, parts.suppression_key, "editor@desk")


def proved(parts: Parts, event_id: str | None = None) -> Proved:
    """Prove what Ada said, and believe nothing but the installation's own key."""
    document = prove(parts.sessions, parts.notary, ask(parts, event_id), now=b.NOW)
    keys = parts.notary.public_keys(document["checkpoint"].partition("\n")[0])
    return verify_proof(json.dumps(document).encode(), keys)


@pytest.fixture
def signed_up(parts: Parts) -> Parts:
    """Ada asked for both purposes, among many others."""
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        add_events(session, 700)
        b.sign_up(parts, session, made, ADA, ("updates", "partner-promotions"))
        b.sign_up(parts, session, made, "bola@readers.test")
        add_events(session, 10, first=700)
    return parts


def test_a_proof_holds_the_events_the_words_and_the_evidence(signed_up: Parts) -> None:
    found = proved(signed_up)
    assert found.checkpoint.size == 713  # what waited has got its place, and was signed
    assert [event["index"] for event in found.events] == [700, 701]
    assert [event["leaf"]["purpose"] for event in found.events] == [
        "updates", "partner-promotions",
    ]  # fmt: skip
    for event in found.events:
        assert event["personal"]["address"] == ADA
        assert event["personal"]["ip"] == "192.0.2.7"
        assert found.notices[event["leaf"]["notice"]["sha256"]]["text"] == b.WORDING


def test_a_proof_says_nothing_of_others_and_does_not_hold_the_readers_key(
    signed_up: Parts,
) -> None:
    document = prove(signed_up.sessions, signed_up.notary, ask(signed_up), now=b.NOW)
    text = json.dumps(document)
    assert "bola" not in text
    with signed_up.sessions() as session:
        reader = session.scalars(select(Subscriber).where(Subscriber.email == ADA)).one()
        vault = signed_up.sessions.kw["info"]["vault"]
        assert vault.open_key(reader.sealed_key).hex() not in text
        [act] = session.scalars(select(OperatorAction))
        events = session.scalars(
            select(ConsentEvent.event_id).where(ConsentEvent.subscriber_id == reader.id)
        ).all()
        assert (act.operator, act.action, act.subscriber_id) == (
            "editor@desk", "consent prove", reader.id,
        )  # fmt: skip
        assert act.details == {"events": events}


def test_a_date_long_ago_can_be_read_again_proved_and_audited(signed_up: Parts) -> None:
    long_ago = datetime(202, 5, 17, tzinfo=UTC)  # a slip of the hand, and in the log for good
    with signed_up.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        add_reader(
            session, made, parse_address("old@readers.test"), purposes=["updates"],
            details=ReaderDetails(), attributes={}, renderer=signed_up.renderer, confirm=False,
            evidence=Evidence(Method.CLI, source="paper", stated_at=long_ago),
            suppression_key=signed_up.suppression_key, now=b.NOW,
        )  # fmt: skip
    asked = ask(signed_up, reader="old@readers.test")
    [event] = prove(signed_up.sessions, signed_up.notary, asked, now=b.NOW)["events"]
    assert event["leaf"]["stated_at"] == "0202-05-17T00:00:00.000Z"
    named = [
        each.row
        for each in wrong(signed_up)
        if each.details.get("reader") == event["leaf"]["reader"]
    ]
    assert named == []


def test_one_event_can_be_proved_alone(signed_up: Parts) -> None:
    with signed_up.sessions() as session:
        event_id = session.scalars(
            select(ConsentEvent.event_id).where(ConsentEvent.state == "requested")
        ).first()
    assert [event["leaf"]["event_id"] for event in proved(signed_up, event_id).events] == [event_id]


def test_a_checkpoint_that_covers_the_events_serves_again(signed_up: Parts) -> None:
    before = proved(signed_up).checkpoint
    with signed_up.sessions.begin() as session:
        add_events(session, 3, first=800)
    assert proved(signed_up).checkpoint == before
    with signed_up.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        b.readers(signed_up, session, made, 1)
        reader = session.scalars(select(Subscriber).where(Subscriber.email == ADA)).one()
        purpose = made.purposes[0]
        evidence = b.Evidence(b.Method.CLI)
        b.record(session, reader, purpose, b.ConsentState.GIVEN, evidence, now=b.NOW)
    found = proved(signed_up)
    assert found.checkpoint.size == 718
    assert [event["leaf"]["state"] for event in found.events] == ["requested"] * 2 + ["given"]


def test_what_is_not_there_is_not_proved(signed_up: Parts) -> None:
    with pytest.raises(UnknownReader):
        prove(signed_up.sessions, signed_up.notary, ask(signed_up, reader="x@y.test"), now=b.NOW)
    with pytest.raises(NothingToProve, match="no consent event ffff"):
        proved(signed_up, "ffff")


def test_without_the_evidence_the_event_is_still_proved(signed_up: Parts) -> None:
    with unguarded(signed_up) as session:
        session.execute(delete(ConsentEvidence))
    assert [event["personal"] for event in proved(signed_up).events] == [None, None]


@pytest.mark.parametrize(
    "change",
    [
        {"state": "given"},
        {"method": "confirm"},
        {"notice_assumed": False},
        {"commitment": bytes(32)},
        {"stated_at": b.NOW},
        {"basis": "implied"},
    ],
)
def test_of_an_event_that_was_changed_no_proof_is_made(
    signed_up: Parts, change: dict[str, object]
) -> None:
    sign_checkpoint(signed_up.sessions, signed_up.notary, now=b.NOW)
    with unguarded(signed_up) as session:
        session.execute(
            update(ConsentEvent).where(ConsentEvent.state == "requested").values(**change)
        )
    with pytest.raises(
        LogDamaged, match=r"No proof .* changed. events\[0\].* \(consent event [0-9a-f]{32}\)"
    ):
        proved(signed_up)


def test_of_a_wording_that_was_changed_no_proof_is_made(signed_up: Parts) -> None:
    with unguarded(signed_up) as session:
        session.execute(update(Notice).values(text="We may do as we like."))
    with pytest.raises(LogDamaged, match=r"notices\.[0-9a-f]+: The wording was changed"):
        proved(signed_up)


def test_a_leaf_hash_or_a_tile_that_was_changed_is_found(signed_up: Parts) -> None:
    proved(signed_up)
    with unguarded(signed_up) as session:
        tile = session.scalars(select(LogTile).where(LogTile.level == 0, LogTile.number == 1)).one()
        tile.root = bytes(32)
    with pytest.raises(LogDamaged, match="do not lead to the root that was signed"):
        proved(signed_up)
    with pytest.raises(LogContradicted):
        sign_checkpoint(signed_up.sessions, signed_up.notary, now=b.NOW)


def test_an_event_that_was_taken_out_of_the_log_is_named(signed_up: Parts) -> None:
    sign_checkpoint(signed_up.sessions, signed_up.notary, now=b.NOW)
    with unguarded(signed_up) as session:
        session.execute(delete(LogEntry).where(LogEntry.leaf_index == 701))
        session.execute(delete(PendingLeaf))
    with pytest.raises(LogDamaged, match="has no place in the log and waits for none"):
        proved(signed_up)


def test_where_the_log_was_cut_no_new_checkpoint_is_made_for_a_proof(signed_up: Parts) -> None:
    sign_checkpoint(signed_up.sessions, signed_up.notary, now=b.NOW)
    with unguarded(signed_up) as session:
        session.execute(delete(LogEntry).where(LogEntry.leaf_index > 701))
        session.execute(delete(LogCheckpoint))
    with pytest.raises(LogContradicted, match="has 702 leaves"):
        proved(signed_up)


def test_a_proof_outlives_everything_that_it_was_made_of(signed_up: Parts) -> None:
    document = prove(signed_up.sessions, signed_up.notary, ask(signed_up), now=b.NOW)
    with unguarded(signed_up) as session:
        for table in (ConsentEvidence, LogEntry, LogCheckpoint, LogTile):
            session.execute(delete(table))
        session.execute(update(Subscriber).values(sealed_key=b""))
    assert len(verify_proof(json.dumps(document).encode()).events) == 2
