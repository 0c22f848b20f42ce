"""What ends by itself: implied consent at its date, and requests that nobody confirmed."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import building as b
from sqlalchemy import select, update

from mailer.domain.consent import Basis, ConsentState, Method
from mailer.services.consent import expiring
from mailer.services.consent.expiring import expire_consents, expire_requests
from mailer.services.consent.preferences import save_preferences
from mailer.services.operations.tick import sweep
from mailer.store.consents import Evidence, record
from mailer.store.models import ConsentEvent, Newsletter, Purpose, Subscriber, Subscription
from mailer.store.readers import find_or_add_reader, lock_reader
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

DAY = timedelta(days=1)


def implied(parts: Parts, ends: datetime, address: str = "ada@readers.test") -> None:
    """Record the implied consent of a reader of the only newsletter for its first purpose."""
    with parts.sessions.begin() as session:
        reader = find_or_add_reader(
            session, b.parse_address(address), parts.suppression_key, now=b.NOW
        )
        said = Evidence(Method.CLI, basis=Basis.IMPLIED, stated_at=b.NOW - DAY, valid_until=ends)
        purpose = session.scalars(select(Purpose).order_by(Purpose.id)).first()
        assert purpose
        record(session, reader, purpose, ConsentState.GIVEN, said, now=b.NOW)


def test_implied_consent_ends_at_its_date_and_says_so_once(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.newsletter(session)
    implied(parts, b.NOW + DAY)
    for now, ended in ((b.NOW, 0), (b.NOW + DAY, 1), (b.NOW + DAY, 0)):
        with parts.sessions.begin() as session:
            assert expire_consents(session, now=now) == ended
    assert b.subscriptions(parts) == {"updates": "expired"}
    assert b.consents(parts) == [("given", "cli"), ("expired", "expiry")]
    with parts.sessions() as session:
        given, expired = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id))
        assert (given.basis, given.valid_until, given.stated_at) == (
            "implied", b.NOW + DAY, b.NOW - DAY,
        )  # fmt: skip
        assert expired.valid_until is None


def test_no_mail_passes_the_gate_once_the_time_is_over_though_nobody_has_swept(
    parts: Parts,
) -> None:
    campaign = b.sending_campaign(parts, 2)
    with parts.sessions.begin() as session:
        session.execute(
            update(Subscription)
            .where(Subscription.subscriber_id == 1)
            .values(valid_until=parts.now() - timedelta(seconds=1))
        )
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert b.states(parts, campaign) == {
        "reader0@readers.test": "withdrawn", "reader1@readers.test": "sent",
    }  # fmt: skip
    assert len(transport.accepted) == 1


def test_nobody_whose_time_is_over_is_in_an_audience(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        ids = b.articles(session, made, 1)
    implied(parts, parts.now() - timedelta(seconds=1), "old@readers.test")
    implied(parts, parts.now() + DAY, "new@readers.test")
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="News", article_ids=ids, now=parts.now()
        )
        b.start_campaign(session, campaign, now=parts.now())
    b.prepare_campaign(
        parts.sessions, 1, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    assert set(b.states(parts)) == {"reader0@readers.test", "new@readers.test"}


def test_the_sweep_ends_implied_consents_and_what_is_on_its_way(parts: Parts) -> None:
    campaign = b.sending_campaign(parts, 3)
    with parts.sessions.begin() as session:
        past = parts.now() - timedelta(seconds=1)
        session.execute(update(Subscription).values(valid_until=past))
    sweep(parts.sessions, now=parts.now)
    assert set(b.states(parts, campaign).values()) == {"withdrawn"}
    assert b.consents(parts)[3:] == [("expired", "expiry")] * 3


def test_who_ticks_the_box_of_an_implied_consent_gives_their_word(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        notice = b.publish_notice(session, made, locale="en", text=b.WORDING, now=b.NOW).sha256
    implied(parts, b.NOW + DAY)
    token = parts.links.preferences(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        save_preferences(
            session, parts.signer, token, wanted=frozenset({"updates"}), notice_sha256=notice,
            name=None, locale=None, evidence=Evidence(Method.PREFERENCES), now=b.NOW,
        )  # fmt: skip
    assert b.consents(parts)[1:] == [("renewed", "preferences")]
    with parts.sessions.begin() as session:
        assert expire_consents(session, now=b.NOW + 2 * DAY) == 0
    assert b.subscriptions(parts) == {"updates": "active"}


def test_who_confirms_while_requests_are_being_ended_stays(parts: Parts, monkeypatch) -> None:
    """The request was found to be over; then the reader confirms, before it is locked."""
    with parts.sessions.begin() as session:
        b.sign_up(parts, session, b.newsletter(session), "ada@readers.test")
    found, confirmed = threading.Event(), threading.Event()

    def lock_late(session, reader_id):
        found.set()
        assert confirmed.wait(b.WITHIN)
        return lock_reader(session, reader_id)

    def confirm() -> None:
        assert found.wait(b.WITHIN)
        if parts.engine.dialect.name == "postgresql":  # SQLite has one writer anyhow
            with parts.sessions.begin() as session:
                reader = session.get_one(Subscriber, 1, with_for_update=True)
                purpose = session.get_one(Purpose, 1)
                said = Evidence(Method.CONFIRM)
                record(session, reader, purpose, ConsentState.GIVEN, said, now=b.NOW + 8 * DAY)
        confirmed.set()

    monkeypatch.setattr(expiring, "lock_reader", lock_late)
    other = threading.Thread(target=confirm)
    other.start()
    with parts.sessions.begin() as session:
        ended = expire_requests(session, now=b.NOW + 8 * DAY)
    other.join()
    if parts.engine.dialect.name == "postgresql":
        assert ended == 0
        assert b.subscriptions(parts) == {"updates": "active"}
    else:
        assert ended == 1
