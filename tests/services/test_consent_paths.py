"""Every way in which a reader can say something leaves an event that tells how it was said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import building as b
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.consent import Basis, ConsentState, Method
from mailer.services.consent.adding import AddOutcome, add_reader
from mailer.services.consent.complaints import record_complaint
from mailer.services.consent.expiring import expire_consents, expire_requests
from mailer.services.consent.preferences import leave, leave_all, save_preferences, withdraw
from mailer.services.consent.signup import Signup, SignupOutcome, confirm, request_signup
from mailer.services.newsletters.notices import current_notice
from mailer.store.consents import Evidence, record
from mailer.store.models import ConsentEvent, Newsletter, Notice, Subscriber, Suppression
from mailer.store.readers import ReaderDetails, lock_reader
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

WHERE = {"ip": "192.0.2.7", "user_agent": "Browser/1", "page_url": "http://here/n/weekly"}
Events = list[tuple[str, str, str | None]]


def said(parts: Parts) -> Events:
    """Return state, method and locale of the wording of every event, oldest first."""
    with parts.sessions() as session:
        rows = session.execute(
            select(ConsentEvent.state, ConsentEvent.method, Notice.locale)
            .outerjoin(Notice, Notice.id == ConsentEvent.notice_id)
            .order_by(ConsentEvent.id)
        )
        return [tuple(row) for row in rows]  # type: ignore[misc]


def reader(session: Session) -> Subscriber:
    found = lock_reader(session, 1)
    assert found
    return found


def signed_up(parts: Parts, method: Method, locale: str = "en") -> None:
    """Fill in the form of a page, or ask by the API."""
    with parts.sessions.begin() as session:
        made = session.scalar(select(Newsletter)) or b.newsletter(session)
        notice = current_notice(session, made, locale)
        outcome = request_signup(
            session,
            Signup(
                made, b.parse_address("ada@readers.test"), ("updates",), Evidence(method, **WHERE),
                notice.sha256 if notice else None, ReaderDetails(locale=locale),
            ),
            renderer=parts.renderer, suppression_key=parts.suppression_key, now=parts.now(),
        )  # fmt: skip
        assert outcome is SignupOutcome.RECEIVED


def given(parts: Parts) -> None:
    """Record a consent that an operator entered."""
    with parts.sessions.begin() as session:
        b.readers(parts, session, session.scalar(select(Newsletter)) or b.newsletter(session), 1)


@pytest.mark.parametrize("method", [Method.FORM, Method.API])
@pytest.mark.parametrize("locale", ["en", "fr"])
def test_a_sign_up_is_requested_under_its_wording_and_given_by_the_button_of_the_mail(
    parts: Parts, method: Method, locale: str
) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.publish_notice(session, made, locale="fr", text="Tous les vendredis.", now=b.NOW)
    signed_up(parts, method, locale)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    mail = transport.accepted[-1][1].decode().replace("=\r\n", "")
    with parts.sessions.begin() as session:
        assert confirm(
            session, parts.signer, b.link("c", mail), Evidence(Method.CONFIRM, ip="192.0.2.9"),
            message_id_of=parts.identity.message_id, now=parts.now(),
        )  # fmt: skip
    assert said(parts) == [("requested", method, locale), ("given", "confirm", locale)]
    asked, pressed = b.evidences(parts)
    assert asked == {
        "address": "ada@readers.test",
        "source": "",
        "confirmation_message_id": "",
        **WHERE,
    }
    assert pressed["ip"] == "192.0.2.9"
    assert f"Message-ID: {pressed['confirmation_message_id']}\r\n" in mail


def by_link(parts: Parts, method: Method) -> None:
    token = parts.links.unsubscribe(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        assert leave(session, parts.signer, token, Evidence(method, **WHERE), now=parts.now())


def by_preferences(parts: Parts) -> None:
    token = parts.links.preferences(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        save_preferences(
            session, parts.signer, token, wanted=frozenset(), notice_sha256=None, name=None,
            locale=None, evidence=Evidence(Method.PREFERENCES, **WHERE), now=parts.now(),
        )  # fmt: skip


def by_leaving_all(parts: Parts) -> None:
    token = parts.links.preferences(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        said = Evidence(Method.PREFERENCES, **WHERE)
        leave_all(session, parts.signer, token, said, now=parts.now())


def by_operator(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        withdraw(session, reader(session), Evidence(Method.CLI, **WHERE), now=parts.now())


def by_complaint(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        said = Evidence(Method.COMPLAINT, **WHERE)
        record_complaint(session, reader(session), said, now=parts.now())


LEAVING: list[tuple[str, Callable[[Parts], None]]] = [
    ("one-click", lambda parts: by_link(parts, Method.ONE_CLICK)),
    ("mailto", lambda parts: by_link(parts, Method.MAILTO)),
    ("preferences", by_preferences),
    ("preferences", by_leaving_all),
    ("cli", by_operator),
    ("complaint", by_complaint),
]


@pytest.mark.parametrize(("method", "leaves"), LEAVING, ids=[name for name, _ in LEAVING])
def test_leaving_is_recorded_once_with_how_and_from_where_and_ends_what_is_on_its_way(
    parts: Parts, method: str, leaves: Callable[[Parts], None]
) -> None:
    campaign = b.sending_campaign(parts, 1)
    leaves(parts)
    leaves(parts)
    assert [each[:2] for each in said(parts)] == [("given", "cli"), ("withdrawn", method)]
    evidence = b.evidences(parts)[1]
    assert {name: evidence[name] for name in WHERE} == WHERE
    assert b.states(parts, campaign) == {"reader0@readers.test": "withdrawn"}


def test_a_complaint_suppresses_the_address_for_good(parts: Parts) -> None:
    given(parts)
    by_complaint(parts)
    by_complaint(parts)
    with parts.sessions.begin() as session:
        [suppression] = session.scalars(select(Suppression))
        assert (suppression.scope, suppression.reason) == ("all", "complaint")
        made = session.scalars(select(Newsletter)).one()
        again = add_reader(
            session, made, b.parse_address("reader0@readers.test"), purposes=["updates"],
            details=ReaderDetails(), attributes={}, evidence=Evidence(Method.IMPORT),
            renderer=parts.renderer, confirm=False, suppression_key=parts.suppression_key,
            now=parts.now(),
        )  # fmt: skip
        assert again is AddOutcome.SUPPRESSED


def test_what_runs_out_is_recorded_as_expired(parts: Parts) -> None:
    signed_up(parts, Method.FORM)
    later = parts.now() + timedelta(days=8)
    with parts.sessions.begin() as session:
        assert expire_requests(session, now=later) == 1
        implied = Evidence(Method.CLI, basis=Basis.IMPLIED, valid_until=later)
        purpose = session.scalars(select(Newsletter)).one().purposes[0]
        record(session, reader(session), purpose, ConsentState.GIVEN, implied, now=later)
        assert expire_consents(session, now=later + timedelta(seconds=1)) == 1
    assert [each[:2] for each in said(parts)] == [
        ("requested", "form"), ("expired", "expiry"), ("given", "cli"), ("expired", "expiry"),
    ]  # fmt: skip
