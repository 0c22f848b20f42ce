"""What a filled-in form records, and the mail that asks for the confirmation."""

from datetime import timedelta

import building as b
from sqlalchemy import func, select

from mailer.domain.consent import Method
from mailer.domain.suppression import SuppressionReason
from mailer.services.consent.adding import AddOutcome, add_reader
from mailer.services.consent.preferences import (
    withdraw,
)
from mailer.services.consent.signup import (
    Signup,
    SignupOutcome,
    request_signup,
)
from mailer.services.newsletters.notices import current_notice, publish_notice, wording_of
from mailer.store.consents import Evidence
from mailer.store.models import (
    ConsentEvent,
    Newsletter,
    Notice,
    Subscriber,
    delivery,
)
from mailer.store.readers import ReaderDetails
from mailer.store.suppressions import suppress
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts


def test_every_event_points_to_the_wording_that_was_on_the_page(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        shown = current_notice(session, made, "en")
        assert shown
        old = shown.sha256
        publish_notice(session, made, locale="en", text="Other words.", now=b.NOW)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        b.sign_up(parts, session, made, "ada@readers.test", notice=old)
        b.sign_up(parts, session, made, "bola@readers.test")
        unknown = b.sign_up(parts, session, made, "cleo@readers.test", notice="0" * 64)
        assert unknown is SignupOutcome.NOTICE_CHANGED
    with parts.sessions() as session:
        rows = session.execute(
            select(Subscriber.email, Notice.sha256, ConsentEvent.notice_assumed)
            .join(ConsentEvent, ConsentEvent.subscriber_id == Subscriber.id)
            .join(Notice, Notice.id == ConsentEvent.notice_id)
            .order_by(ConsentEvent.id)
        ).all()
        assert [(row[0], row[1] == old, row[2]) for row in rows] == [
            ("ada@readers.test", True, False),
            ("bola@readers.test", False, True),
        ]
        for notice in session.scalars(select(Notice)):
            newsletter = session.get_one(Newsletter, notice.newsletter_id)
            assert wording_of(newsletter, notice).sha256 == notice.sha256


def test_only_ticked_purposes_are_asked_for(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        nothing = b.sign_up(parts, session, made, "ada@readers.test", purposes=())
        invented = b.sign_up(parts, session, made, "ada@readers.test", purposes=("invented",))
        assert nothing is invented is SignupOutcome.NO_PURPOSE
        b.sign_up(parts, session, made, "ada@readers.test", purposes=("partner-promotions",))
    assert b.subscriptions(parts) == {"partner-promotions": "pending"}


def test_known_and_suppressed_addresses_get_the_same_answer_and_no_more_mails(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.sign_up(parts, session, made, "ada@readers.test")
        reader = session.scalars(select(b.Subscriber)).one()
        suppress(session, reader.address_hash, SuppressionReason.OPERATOR, now=b.NOW)
        again = b.sign_up(parts, session, made, "ADA@readers.test")
        assert again is SignupOutcome.RECEIVED
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert transport.accepted == []
    assert b.states(parts) == {"ada@readers.test": "suppressed"}


def test_an_address_gets_three_confirmations_a_day_and_no_fourth(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        for _ in range(6):
            b.sign_up(parts, session, made, "ada@readers.test", now=b.NOW)
        assert session.scalar(select(func.count()).select_from(delivery)) == 3
        b.sign_up(parts, session, made, "ada@readers.test", now=b.NOW + timedelta(days=2))
        assert session.scalar(select(func.count()).select_from(delivery)) == 4


def test_who_leaves_before_confirming_gets_no_mail_about_it(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.sign_up(parts, session, b.newsletter(session), "ada@readers.test", now=parts.now())
    with parts.sessions.begin() as session:
        reader = session.scalars(select(Subscriber)).one()
        withdraw(session, reader, Evidence(Method.CLI), now=parts.now())
    assert b.states(parts) == {"ada@readers.test": "withdrawn"}


def test_nothing_is_recorded_of_a_suppressed_address(parts: Parts) -> None:
    address = b.parse_address("erased@readers.test")
    with parts.sessions.begin() as session:
        hashed = b.address_hash(address, parts.suppression_key)
        suppress(session, hashed, SuppressionReason.ERASURE, now=b.NOW)
        outcome = add_reader(
            session, b.newsletter(session), address, purposes=["updates"],
            details=ReaderDetails(name="Erased"), attributes={},
            evidence=Evidence(Method.IMPORT, source="old list"), renderer=parts.renderer,
            confirm=False, suppression_key=parts.suppression_key, now=b.NOW,
        )  # fmt: skip
        assert outcome is AddOutcome.SUPPRESSED
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 0


def test_a_confirmation_carries_nothing_that_a_stranger_typed(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        request_signup(
            session,
            Signup(
                newsletter=b.newsletter(session),
                address=b.parse_address("ada@readers.test"),
                purposes=("updates",),
                evidence=Evidence(Method.FORM, user_agent="Buy my pills", page_url="pills"),
                notice_sha256=None,
                details=ReaderDetails(name="Buy my pills"),
            ),
            renderer=parts.renderer,
            suppression_key=parts.suppression_key,
            now=parts.now(),
        )
    transport = MemoryTransport()
    b.send_all(parts, transport)
    [(_, mail)] = transport.accepted
    assert b"To: ada@readers.test\r\n" in mail
    assert b"pills" not in mail
