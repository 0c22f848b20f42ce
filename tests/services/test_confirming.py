"""From the button of the mailed link to a standing consent, and what an old link does."""

from datetime import datetime, timedelta

import building as b
from sqlalchemy import select

from mailer.domain.consent import Method
from mailer.services.consent.expiring import expire_requests
from mailer.services.consent.preferences import (
    leave,
)
from mailer.services.consent.signup import (
    ConfirmState,
    Signup,
    SignupOutcome,
    confirm,
    open_confirmation,
    request_signup,
)
from mailer.services.newsletters.notices import publish_notice
from mailer.store.consents import Evidence
from mailer.store.models import (
    ConsentEvent,
    Newsletter,
    Subscriber,
)
from mailer.store.readers import ReaderDetails
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

PRESS = Evidence(Method.CONFIRM)


def _confirm_token(parts: Parts) -> str:
    transport = MemoryTransport()
    b.send_all(parts, transport)
    return b.link("c", transport.accepted[-1][1].decode().replace("=\r\n", ""))


def test_a_reader_is_active_only_after_the_button_of_the_mailed_link(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        outcome = b.sign_up(parts, session, made, "ada@readers.test", now=parts.now())
        assert outcome is SignupOutcome.RECEIVED
    assert b.subscriptions(parts) == {"updates": "pending"}
    token = _confirm_token(parts)
    with parts.sessions.begin() as session:
        page = open_confirmation(session, parts.signer, token, now=parts.now())
        assert page
        assert page.state is ConfirmState.OPEN
    assert b.subscriptions(parts) == {"updates": "pending"}
    for _ in range(2):  # a second press changes nothing
        with parts.sessions.begin() as session:
            page = confirm(
                session,
                parts.signer,
                token,
                PRESS,
                message_id_of=parts.identity.message_id,
                now=parts.now(),
            )
            assert page
            assert page.state is ConfirmState.DONE
    assert b.subscriptions(parts) == {"updates": "active"}
    assert b.consents(parts) == [("requested", "form"), ("given", "confirm")]


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
    assert b.subscriptions(parts) == {"updates": "left"}
    assert [state for state, _ in b.consents(parts)] == ["requested", "given", "withdrawn"]


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
    assert b.subscriptions(parts) == {"updates": "expired"}
    _sign_up(parts, "updates", now=now)
    assert _press(parts, _mails(parts)[-1], now) is ConfirmState.DONE
    assert [state for state, _ in b.consents(parts)] == [
        "requested",
        "expired",
        "requested",
        "given",
    ]


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
    assert b.subscriptions(parts) == {"updates": "active", "partner-promotions": "pending"}
    _press(parts, first, now)
    assert b.subscriptions(parts) == {"updates": "active", "partner-promotions": "pending"}
    [second] = _mails(parts)
    _press(parts, second, now)
    assert b.subscriptions(parts) == {"updates": "active", "partner-promotions": "active"}


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
    ids = {evidence["confirmation_message_id"] for evidence in b.evidences(parts)} - {""}
    assert len(ids) == 1
    assert f"Message-ID: {ids.pop()}\r\n".encode() in mail
