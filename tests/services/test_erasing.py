"""Erasing a reader: what goes, what stays, who may come back, and what a crash leaves over."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import building as b
import pytest
from sqlalchemy import Table, func, insert, select, update

from mailer.domain.addresses import address_hash, parse_address
from mailer.domain.consent import Method
from mailer.domain.deliveries import DeliveryState
from mailer.domain.suppression import SuppressionReason
from mailer.services.campaigns.drafts import send_test
from mailer.services.campaigns.reports import report
from mailer.services.consent.adding import AddOutcome, add_reader
from mailer.services.consent.preferences import open_leave, open_preferences
from mailer.services.consent.signup import ConfirmState, confirm, open_confirmation
from mailer.services.privacy.erasing import Erased, clean_up, erase, erase_again, finish_erasures
from mailer.store.consents import Evidence
from mailer.store.ledger import claim
from mailer.store.models import (
    Base,
    Campaign,
    ConsentEvent,
    ConsentEvidence,
    Erasure,
    Feedback,
    Newsletter,
    RelayState,
    Subscriber,
    Subscription,
    attempt,
    delivery,
)
from mailer.store.readers import ReaderDetails
from mailer.store.relays import default_relay
from mailer.store.suppressions import standing, suppress
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

ADDRESS = "zoe.nandu@nandu.test"
LATER = b.NOW + timedelta(days=1)


def erased(
    parts: Parts, address: str = ADDRESS, *, now: datetime = LATER, clean: bool = True
) -> Erased:
    """Erase whoever has the address."""
    with parts.sessions.begin() as session:
        done = erase(
            session, parse_address(address), key=parts.suppression_key, method="cli", now=now
        )
    if clean:
        assert not clean_up(parts.sessions, parts.places, done, now=lambda: now).waits
    return done


def signed_up(parts: Parts, address: str = ADDRESS, *, now: datetime = b.NOW) -> None:
    """Ask by the form, with a name that stands by it."""
    with parts.sessions.begin() as session:
        made = session.scalar(select(Newsletter)) or b.newsletter(session)
        b.sign_up(parts, session, made, address, now=now)


def confirmed(parts: Parts, text: str, *, now: datetime = b.NOW) -> None:
    """Press the button of a confirmation."""
    with parts.sessions.begin() as session:
        assert confirm(
            session, parts.signer, b.link("c", text), Evidence(Method.CONFIRM),
            message_id_of=parts.identity.message_id, now=now,
        )  # fmt: skip


def text_of(transport: MemoryTransport) -> str:
    """Return the text of the first mail that was taken."""
    mail = message_from_bytes(transport.accepted[0][1], policy=default)
    assert isinstance(mail, EmailMessage)
    part = mail.get_body(("plain",))
    assert part
    return str(part.get_content())


def hashed(parts: Parts, address: str = ADDRESS) -> str:
    """Return the keyed hash of the address."""
    return address_hash(parse_address(address), parts.suppression_key)


def reasons(parts: Parts, address: str = ADDRESS) -> list[str]:
    """Return why the address is suppressed."""
    with parts.sessions() as session:
        return [each.reason for each in standing(session, hashed(parts, address))]


def add_by_operator(parts: Parts, address: str = ADDRESS, *, confirm: bool = False) -> AddOutcome:
    """Add the reader again, as an import or an operator does."""
    with parts.sessions.begin() as session:
        return add_reader(
            session, session.scalars(select(Newsletter)).one(), parse_address(address),
            purposes=["updates"], details=ReaderDetails("Zoë"), attributes={},
            evidence=Evidence(Method.CLI, source="the old list"), renderer=parts.renderer,
            confirm=confirm, suppression_key=parts.suppression_key, now=LATER,
        )  # fmt: skip


def all_rows(parts: Parts) -> str:
    """Return every value of every table, as one text."""
    with parts.sessions() as session:
        tables: list[Table] = Base.metadata.sorted_tables
        return "\n".join(
            f"{table.name} {tuple(row)!r}"
            for table in tables
            for row in session.execute(select(table))
        )


def test_an_erased_reader_is_gone_and_what_they_said_stays_without_them(parts: Parts) -> None:
    signed_up(parts)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    confirmed(parts, text_of(transport))
    before = b.consents(parts)
    done = erased(parts)
    assert (done.found.withdrawn, done.found.evidence, done.found.deliveries) == (1, 3, 1)
    assert b.consents(parts) == [*before, ("withdrawn", "erasure")]
    with parts.sessions() as session:
        for gone in (Subscriber, Subscription, ConsentEvidence):
            assert session.scalar(select(func.count()).select_from(gone)) == 0
        assert all(len(each.commitment) == 32 for each in session.scalars(select(ConsentEvent)))
        erasure = session.scalars(select(Erasure)).one()
        assert (erasure.subscriber_id, erasure.address_hash) == (1, hashed(parts))
        assert (erasure.method, erasure.at, erasure.cleaned_at) == ("cli", LATER, LATER)
    assert "nandu" not in all_rows(parts)


def test_the_words_of_relays_and_bounces_become_numbers(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 2, domains=["nandu.test", "readers.test"])
    address, said = "reader0@nandu.test", "550 5.7.1 Reader0 of nandu.test is not wanted"
    with parts.sessions.begin() as session:
        mine = {"period": 1, "delivery_id": 1, "fence": 9, "at": b.NOW, "relay": "r"}
        row = session.execute(select(delivery).where(delivery.c.subscriber_id == 1)).one()
        mine |= {"period": row.period, "delivery_id": row.id}
        session.execute(insert(attempt).values(**mine, outcome="queued", stage="rcpt", reply=said))
        session.execute(update(delivery).values(last_reply=said))
        came = {"kind": "bounce", "source": "dsn", "status": "5.7.1", "received_at": b.NOW}
        for whose in ({"delivery_id": row.id}, {"subscriber_id": 1}, {}):
            session.add(Feedback(**came, **whose, detail=f"{said}, {address}"))
        session.add(Feedback(**came, detail="550 reader01@nandu.test is another"))
        relay = default_relay(session)
        for provider in ("nandu.test", "readers.test", "*"):
            values = {"relay_id": relay, "provider": provider, "failures": 1, "reason": said}
            session.execute(insert(RelayState).values(**values))
        session.get_one(Campaign, campaign_id).paused_reason = f"the relay refuses our mail: {said}"
    before = all_rows(parts)
    assert before.count("Reader0 of") == 10
    assert erased(parts, address).found.bounces == 1
    with parts.sessions() as session:
        tried = session.execute(select(attempt.c.reply)).scalars().all()
        assert tried == ["550 5.7.1"]
        rows = session.execute(select(delivery).order_by(delivery.c.id)).all()
        assert [(each.last_reply, each.provider) for each in rows] == [
            ("550 5.7.1", ""), (said, "readers.test"),
        ]  # fmt: skip
        details = session.scalars(select(Feedback.detail).order_by(Feedback.id)).all()
        assert details == ["", "", "550 5.7.1", "550 reader01@nandu.test is another"]
        campaign = session.get_one(Campaign, campaign_id)
        assert campaign.paused_reason == "the relay refuses our mail: 550 5.7.1"
        known = dict(session.execute(select(RelayState.provider, RelayState.reason)).all())
        assert known == {"readers.test": "550 5.7.1", "*": "550 5.7.1"}


def test_reports_still_add_up(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 3)
    b.send_all(parts, MemoryTransport())
    erased(parts, "reader1@readers.test")
    with parts.sessions() as session:
        found = report(session, session.get_one(Campaign, campaign_id))
    assert (found["audience"], found["counts"]["sent"]) == (3, 3)


def test_nobody_else_brings_an_erased_reader_back(parts: Parts) -> None:
    signed_up(parts)
    erased(parts)
    assert reasons(parts) == ["erasure"]
    for spelling in (ADDRESS, "Zoe.Nandu@NANDU.test"):
        for asks in (False, True):
            assert add_by_operator(parts, spelling, confirm=asks) is AddOutcome.SUPPRESSED
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 0


def test_an_erased_reader_may_sign_up_anew_and_only_their_own_press_ends_the_suppression(
    parts: Parts,
) -> None:
    signed_up(parts)
    erased(parts)
    signed_up(parts, now=parts.now())
    assert reasons(parts) == ["erasure"]
    assert add_by_operator(parts) is AddOutcome.SUPPRESSED
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert [mail.recipient for mail, _ in transport.accepted] == [ADDRESS]
    assert reasons(parts) == ["erasure"], "a stranger may have filled in the form"
    confirmed(parts, text_of(transport), now=parts.now())
    assert reasons(parts) == []
    assert b.subscriptions(parts) == {"updates": "active"}
    assert erased(parts, now=parts.now()).subscriber_id == 2
    assert reasons(parts) == ["erasure"]


@pytest.mark.parametrize("first", ["complaint", "erasure"])
def test_an_erasure_takes_no_other_reason_off_the_list(parts: Parts, first: str) -> None:
    def complain() -> None:
        with parts.sessions.begin() as session:
            suppress(session, hashed(parts), SuppressionReason.COMPLAINT, now=b.NOW, detail=ADDRESS)

    signed_up(parts)
    for step in (complain, lambda: erased(parts)) if first == "complaint" else (
        lambda: erased(parts), complain,
    ):  # fmt: skip
        step()
    assert reasons(parts) == ["complaint"]
    signed_up(parts, now=parts.now())
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert transport.accepted == []


def test_the_links_of_old_mails_say_no_more_than_that_the_reader_has_left(parts: Parts) -> None:
    signed_up(parts)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    erased(parts)
    with parts.sessions() as session:
        page = open_leave(session, parts.signer, parts.links.unsubscribe(1, 1).rpartition("/")[2])
        assert page
        assert not page.active
        choices = parts.links.preferences(1, 1).rpartition("/")[2]
        assert open_preferences(session, parts.signer, choices) is None
        asked = b.link("c", text_of(transport))
        assert open_confirmation(session, parts.signer, asked, now=b.NOW) is None


def test_an_old_confirmation_does_not_confirm_for_who_signs_up_anew(parts: Parts) -> None:
    signed_up(parts)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    old = b.link("c", text_of(transport))
    erased(parts)
    signed_up(parts, now=LATER)
    with parts.sessions() as session:
        page = open_confirmation(session, parts.signer, old, now=LATER)
    assert page is None or page.state is not ConfirmState.OPEN


def test_an_address_without_a_reader_is_forgotten_in_test_mails_and_suppressed(
    parts: Parts,
) -> None:
    campaign_id = b.sending_campaign(parts, 1)
    send_test(
        parts.sessions, campaign_id, parse_address(ADDRESS), renderer=parts.renderer,
        suppression_key=parts.suppression_key, now=parts.now(),
    )  # fmt: skip
    assert ADDRESS in all_rows(parts)
    done = erased(parts)
    assert (done.subscriber_id, done.before, done.found.tests) == (None, None, 1)
    assert "nandu" not in all_rows(parts)
    assert reasons(parts) == ["erasure"]
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert [mail.recipient for mail, _ in transport.accepted] == ["reader0@readers.test"]


def test_erasing_twice_finds_nothing_more(parts: Parts) -> None:
    signed_up(parts)
    erased(parts)
    rows = all_rows(parts)
    again = erased(parts)
    assert (again.subscriber_id, again.before) == (None, LATER)
    assert all_rows(parts) == rows


def test_an_erasure_whose_command_died_is_finished_by_the_sweep(parts: Parts) -> None:
    signed_up(parts)
    mail = f"To: Zoë <{ADDRESS}>\r\nSubject: x\r\n\r\nhello".encode()
    other = parts.places.inbox.save(mail.replace(b"zoe", b"joe"))
    parts.places.inbox.save(mail)
    (parts.places.inbox.folder / ".1-2.part").write_bytes(mail[:60])
    done = erased(parts, clean=False)

    def swept(at: datetime) -> datetime | None:
        finish_erasures(parts.sessions, parts.places, now=lambda: at)
        with parts.sessions() as session:
            return session.scalars(select(Erasure.cleaned_at)).one()

    assert swept(LATER) is None, "the command itself may be at it"
    minutes = LATER + timedelta(minutes=6)
    assert swept(minutes) == minutes
    assert parts.places.inbox.ids() == [other]
    assert list(parts.places.inbox.folder.glob(".*.part")) == []
    assert swept(LATER + timedelta(days=1)) == minutes
    assert done.subscriber_id == 1


def test_an_erasure_whose_command_died_is_finished_by_the_same_command_once_more(
    sqlite_parts: Parts,
) -> None:
    parts = sqlite_parts
    signed_up(parts)
    erased(parts, clean=False)
    file = Path(parts.engine.url.database or "")
    name = "Zoë Quatermain".encode()
    with closing(sqlite3.connect(file)) as other:  # copies between the rows, as moved rows leave
        other.executescript(
            "PRAGMA secure_delete = OFF; CREATE TABLE moved (row TEXT); WITH RECURSIVE n (i) AS "
            "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO moved "
            f"SELECT '{name.decode()}' || zeroblob(3000) FROM n; DROP TABLE moved"
        )
    again = erased(parts)
    assert again.before == LATER
    assert name not in file.read_bytes()


def test_an_erasure_is_not_finished_while_a_mail_to_the_reader_is_on_its_way(parts: Parts) -> None:
    b.sending_campaign(parts, 1)
    with parts.sessions.begin() as session:
        session.execute(update(delivery).values(state="sending"))
    done = erased(parts, "reader0@readers.test", clean=False)
    waits = clean_up(parts.sessions, parts.places, done, now=lambda: LATER).waits
    assert "on its way" in waits
    with parts.sessions.begin() as session:
        said = "550 5.1.1 reader0 is unknown"
        session.execute(update(delivery).values(state="failed", settled_at=LATER, last_reply=said))
        assert session.scalars(select(Erasure.cleaned_at)).one() is None
    finish_erasures(parts.sessions, parts.places, now=lambda: LATER + timedelta(hours=1))
    with parts.sessions() as session:
        assert session.scalars(select(Erasure.cleaned_at)).one() is not None
        assert session.execute(select(delivery.c.last_reply)).scalar_one() == "550 5.1.1"


def test_what_is_queued_again_for_an_erased_reader_is_ended_when_it_is_claimed(
    parts: Parts,
) -> None:
    b.sending_campaign(parts, 3)
    erased(parts, "reader1@readers.test")
    again: dict[str, Any] = {"state": "queued", "settled_at": None, "next_at": b.NOW}
    with parts.sessions.begin() as session:  # as late news of an uncertain mail do
        session.execute(update(delivery).where(delivery.c.subscriber_id == 2).values(again))
    with parts.engine.begin() as connection:
        got = claim(connection, worker="w", limit=1, lease=timedelta(minutes=1))
        got += claim(connection, worker="w", limit=9, lease=timedelta(minutes=1))
    assert [each.email for each in got] == ["reader0@readers.test", "reader2@readers.test"]
    with parts.sessions() as session:
        ended = session.execute(
            select(delivery.c.state, delivery.c.settled_at).where(delivery.c.subscriber_id == 2)
        ).one()
    assert ended.state == DeliveryState.WITHDRAWN
    assert ended.settled_at is not None


def test_a_journal_makes_an_older_database_forget_again(parts: Parts) -> None:
    signed_up(parts)

    def again(number: int = 1) -> bool:
        with parts.sessions.begin() as session:
            return erase_again(session, hashed(parts), number, method="cli", at=b.NOW, now=LATER)

    assert again()
    assert "nandu" not in all_rows(parts)
    assert reasons(parts) == ["erasure"]
    rows = all_rows(parts)
    assert not again()
    assert all_rows(parts) == rows
    with parts.sessions() as session:
        assert session.scalars(select(Erasure.at)).one() == b.NOW


def test_a_journal_leaves_alone_who_signed_up_later(parts: Parts) -> None:
    signed_up(parts, "somebody@else.test")
    signed_up(parts)
    with parts.sessions.begin() as session:
        told = {"method": "cli", "at": b.NOW, "now": LATER}
        assert not erase_again(session, hashed(parts), 1, **told)
        assert not erase_again(session, hashed(parts, "never@here.test"), 77, **told)
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 2
    assert reasons(parts) == []
    assert reasons(parts, "never@here.test") == ["erasure"]
