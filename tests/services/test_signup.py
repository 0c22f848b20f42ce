"""From the form to a standing consent, and out again."""

from datetime import datetime, timedelta

import building as b
from sqlalchemy import func, select

from mailer.domain.consent import Method
from mailer.domain.suppression import SuppressionReason
from mailer.services.adding import AddOutcome, add_reader
from mailer.services.notices import current_notice, publish_notice, wording_of
from mailer.services.preferences import (
    Preferences,
    leave,
    leave_all,
    open_leave,
    open_preferences,
    save_preferences,
    withdraw,
)
from mailer.services.signup import (
    ConfirmState,
    Signup,
    SignupOutcome,
    confirm,
    expire_requests,
    open_confirmation,
    request_signup,
)
from mailer.store.consents import Evidence
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    Newsletter,
    Notice,
    Subscriber,
    Subscription,
    delivery,
)
from mailer.store.readers import ReaderDetails
from mailer.store.suppressions import suppress
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

PRESS = Evidence(Method.CONFIRM)


def _confirm_token(parts: Parts) -> str:
    transport = MemoryTransport()
    b.send_all(parts, transport)
    return b.link("c", transport.accepted[-1][1].decode().replace("=\r\n", ""))


def _subscriptions(parts: Parts) -> dict[str, str]:
    with parts.sessions() as session:
        return {each.purpose.slug: each.state for each in session.scalars(select(Subscription))}


def _events(parts: Parts) -> list[tuple[str, str]]:
    with parts.sessions() as session:
        rows = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id))
        return [(row.state, row.method) for row in rows]


def test_a_reader_is_active_only_after_the_button_of_the_mailed_link(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        assert b.sign_up(parts, session, made, "ada@readers.test") is SignupOutcome.RECEIVED
    assert _subscriptions(parts) == {"updates": "pending"}
    token = _confirm_token(parts)
    with parts.sessions.begin() as session:
        page = open_confirmation(session, parts.signer, token, now=b.NOW)
        assert page
        assert page.state is ConfirmState.OPEN
    assert _subscriptions(parts) == {"updates": "pending"}
    for _ in range(2):  # a second press changes nothing
        with parts.sessions.begin() as session:
            page = confirm(
                session,
                parts.signer,
                token,
                PRESS,
                message_id_of=parts.identity.message_id,
                now=b.NOW,
            )
            assert page
            assert page.state is ConfirmState.DONE
    assert _subscriptions(parts) == {"updates": "active"}
    assert _events(parts) == [("requested", "form"), ("given", "confirm")]


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
            select(ConsentEvidence.address, Notice.sha256, ConsentEvent.notice_assumed)
            .join(ConsentEvent, ConsentEvent.event_id == ConsentEvidence.event_id)
            .join(Notice, Notice.id == ConsentEvent.notice_id)
            .order_by(ConsentEvent.id)
        ).all()
        assert [(row[0], row[1] == old, row[2]) for row in rows] == [
            ("ada@readers.test", True, False),
            ("bola@readers.test", False, True),
        ]
        for notice in session.scalars(select(Notice)):
            newsletter = session.get_one(Newsletter, notice.newsletter_id)
            assert wording_of(session, newsletter, notice).sha256 == notice.sha256


def test_only_ticked_purposes_are_asked_for(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        nothing = b.sign_up(parts, session, made, "ada@readers.test", purposes=())
        invented = b.sign_up(parts, session, made, "ada@readers.test", purposes=("invented",))
        assert nothing is invented is SignupOutcome.NO_PURPOSE
        b.sign_up(parts, session, made, "ada@readers.test", purposes=("partner-promotions",))
    assert _subscriptions(parts) == {"partner-promotions": "pending"}


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


def test_an_old_link_brings_nobody_back_who_has_left_since(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.sign_up(parts, session, made, "ada@readers.test", now=parts.now())
    token = _confirm_token(parts)
    unsubscribe = parts.links.unsubscribe(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        confirm(
            session,
            parts.signer,
            token,
            PRESS,
            message_id_of=parts.identity.message_id,
            now=parts.now(),
        )
    for _ in range(2):
        with parts.sessions.begin() as session:
            page = leave(
                session, parts.signer, unsubscribe, Evidence(Method.ONE_CLICK), now=parts.now()
            )
            assert page
            assert not page.active
    with parts.sessions.begin() as session:
        confirm(
            session,
            parts.signer,
            token,
            PRESS,
            message_id_of=parts.identity.message_id,
            now=parts.now(),
        )
    assert _subscriptions(parts) == {"updates": "left"}
    assert [state for state, _ in _events(parts)] == ["requested", "given", "withdrawn"]


def save(
    parts: Parts, *wanted: str, notice: str | None = None, name: str = "Ada", now: datetime = b.NOW
) -> Preferences:
    """Press "save" on the first reader's preference page."""
    token = parts.links.preferences(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        saved = save_preferences(
            session,
            parts.signer,
            token,
            wanted=frozenset(wanted),
            notice_sha256=notice,
            name=name,
            locale="en",
            evidence=Evidence(Method.PREFERENCES),
            now=now,
        )
        assert saved
        return saved


def test_preferences_give_and_withdraw_single_purposes(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), 1)
    assert save(parts, "updates", "partner-promotions").name == "Ada"
    assert _subscriptions(parts) == {"updates": "active", "partner-promotions": "active"}
    save(parts, "partner-promotions")
    assert _subscriptions(parts) == {"updates": "left", "partner-promotions": "active"}
    save(parts)
    assert _subscriptions(parts) == {"updates": "left", "partner-promotions": "left"}


def test_what_preferences_give_points_to_the_wording_that_was_on_the_page(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        old = current_notice(session, made, "en")
        assert old
        new = b.publish_notice(session, made, locale="en", text="Another wording.", now=b.NOW)
    save(parts, "updates", "partner-promotions", notice=old.sha256)
    with parts.sessions() as session:
        event = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id.desc())).first()
        assert event
        assert (event.notice_id, event.notice_assumed) == (old.id, False)
    save(parts, "updates")
    save(parts, "updates", "partner-promotions")
    with parts.sessions() as session:
        event = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id.desc())).first()
        assert event
        assert (event.notice_id, event.notice_assumed) == (new.id, True)


def test_a_purpose_that_no_wording_names_cannot_be_given(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        b.add_purpose(session, made, "surveys", "Surveys, announced nowhere")
    page = save(parts, "updates", "surveys")
    assert _subscriptions(parts) == {"updates": "active"}
    assert [choice.slug for choice in page.purposes] == ["updates", "partner-promotions"]


def test_saving_leaves_alone_what_waits_to_be_confirmed_and_leaving_all_ends_it(
    parts: Parts,
) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        [address] = b.readers(parts, session, made, 1)
        b.sign_up(parts, session, made, address, ("partner-promotions",))
    save(parts, "updates")
    assert _subscriptions(parts) == {"updates": "active", "partner-promotions": "pending"}
    token = parts.links.preferences(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        said = Evidence(Method.PREFERENCES)
        assert leave_all(session, parts.signer, token, said, now=b.NOW)
    assert _subscriptions(parts) == {"updates": "left", "partner-promotions": "left"}


def _mails(parts: Parts) -> list[str]:
    """Send what waits; return the confirm tokens of all mails, oldest first."""
    transport = MemoryTransport()
    b.send_all(parts, transport)
    return [b.link("c", mail.decode().replace("=\r\n", "")) for _, mail in transport.accepted]


def _sign_up(
    parts: Parts, *purposes: str, now: datetime, notice: str | None = None, name: str = ""
) -> None:
    with parts.sessions.begin() as session:
        made = session.scalar(select(Newsletter)) or b.newsletter(session)
        request_signup(
            session,
            Signup(
                newsletter=made,
                address=b.parse_address("ada@readers.test"),
                purposes=purposes,
                evidence=Evidence(Method.FORM),
                notice_sha256=notice,
                details=ReaderDetails(name=name),
            ),
            renderer=parts.renderer,
            suppression_key=parts.suppression_key,
            now=now,
        )


def _press(parts: Parts, token: str, now: datetime) -> ConfirmState:
    with parts.sessions.begin() as session:
        page = confirm(
            session, parts.signer, token, PRESS, message_id_of=parts.identity.message_id, now=now
        )
        assert page
        return page.state


def test_who_did_not_confirm_in_time_can_sign_up_again(parts: Parts) -> None:
    now = parts.now()
    _sign_up(parts, "updates", now=now - timedelta(days=8))
    with parts.sessions.begin() as session:
        assert expire_requests(session, now=now) == 1
        assert expire_requests(session, now=now) == 0
    assert _subscriptions(parts) == {"updates": "expired"}
    _sign_up(parts, "updates", now=now)
    assert _press(parts, _mails(parts)[-1], now) is ConfirmState.DONE
    assert [state for state, _ in _events(parts)] == ["requested", "expired", "requested", "given"]


def test_a_sign_up_again_after_a_day_renews_the_request(parts: Parts) -> None:
    now = parts.now()
    _sign_up(parts, "updates", now=now)
    [first] = _mails(parts)
    _sign_up(parts, "updates", now=now + timedelta(days=6))
    assert _press(parts, first, now + timedelta(days=12)) is ConfirmState.DONE


def test_a_link_confirms_what_its_mail_lists_and_nothing_that_was_asked_for_later(
    parts: Parts,
) -> None:
    now = parts.now()
    _sign_up(parts, "updates", now=now)
    [first] = _mails(parts)
    _sign_up(parts, "partner-promotions", now=now)
    _press(parts, first, now)
    assert _subscriptions(parts) == {"updates": "active", "partner-promotions": "pending"}
    _press(parts, first, now)
    assert _subscriptions(parts) == {"updates": "active", "partner-promotions": "pending"}
    [second] = _mails(parts)
    _press(parts, second, now)
    assert _subscriptions(parts) == {"updates": "active", "partner-promotions": "active"}


def test_another_wording_while_a_request_waits_is_a_request_of_its_own(parts: Parts) -> None:
    now = parts.now()
    _sign_up(parts, "updates", now=now)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        second = publish_notice(session, made, locale="en", text="Second wording.", now=now)
    _sign_up(parts, "updates", now=now, notice=second.sha256)
    _sign_up(parts, "updates", now=now, notice=second.sha256)
    _press(parts, _mails(parts)[-1], now)
    with parts.sessions() as session:
        events = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id)).all()
        assert [event.state for event in events] == ["requested", "requested", "given"]
        assert events[-1].notice_id == second.id


def test_what_a_form_says_of_the_reader_is_believed_when_it_is_confirmed(parts: Parts) -> None:
    now = parts.now()
    _sign_up(parts, "updates", now=now, name="Some Stranger")
    _sign_up(parts, "updates", now=now, name="Ada Lovelace")
    with parts.sessions() as session:
        assert session.scalars(select(Subscriber)).one().name == ""
    _press(parts, _mails(parts)[-1], now)
    with parts.sessions() as session:
        assert session.scalars(select(Subscriber)).one().name == "Ada Lovelace"


def test_the_evidence_of_a_confirmation_names_the_mail(parts: Parts) -> None:
    now = parts.now()
    _sign_up(parts, "updates", now=now)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    mail = transport.accepted[0][1]
    _press(parts, b.link("c", mail.decode().replace("=\r\n", "")), now)
    with parts.sessions() as session:
        said = session.scalars(select(ConsentEvidence).order_by(ConsentEvidence.event_id)).all()
        ids = {evidence.confirmation_message_id for evidence in said} - {""}
    assert len(ids) == 1
    assert f"Message-ID: {ids.pop()}\r\n".encode() in mail


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
            now=b.NOW,
        )
    transport = MemoryTransport()
    b.send_all(parts, transport)
    [(_, mail)] = transport.accepted
    assert b"To: ada@readers.test\r\n" in mail
    assert b"pills" not in mail


def test_a_token_of_one_kind_opens_no_other_door(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), 1)
        unsubscribe = parts.links.unsubscribe(1, 1).rpartition("/")[2]
        assert open_leave(session, parts.signer, unsubscribe)
        assert open_preferences(session, parts.signer, unsubscribe) is None
        assert open_confirmation(session, parts.signer, unsubscribe, now=b.NOW) is None
