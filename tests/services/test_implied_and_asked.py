"""Who is written to because of a relation fills in the form: their word takes its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import audits as a
import building as b
import pytest
from sqlalchemy import func, select, update

from mailer.domain.consent import CONFIRM_WITHIN, Basis, ConsentState, Method
from mailer.domain.retention import Kind, read_periods
from mailer.services.consent.expiring import expire_consents
from mailer.services.consent.export import ExportFormat, export_consent
from mailer.services.consent.signup import ConfirmState, confirm, open_confirmation
from mailer.services.consent.standing import standing_consents
from mailer.services.privacy.retention import Job, retain, what_is_due
from mailer.services.readers.readers import consent_events
from mailer.store.consents import Evidence, record
from mailer.store.models import (
    ConsentEvidence,
    Newsletter,
    Notice,
    Subscriber,
    Subscription,
    delivery,
)
from mailer.store.readers import find_or_add_reader
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts
from workers.due import retention_job

DAY = timedelta(days=1)
ADA = "ada@readers.test"


@pytest.fixture
def begin(parts: Parts) -> datetime:
    """A month ago; when the newsletter begins."""
    begin = parts.now().replace(microsecond=0) - 30 * DAY
    with parts.sessions.begin() as session:
        b.newsletter(session).created_at = begin
    return begin


@pytest.fixture
def bought(parts: Parts, begin: datetime) -> datetime:
    """Ada bought a book a month ago; the end of what that implies."""
    return _buys(parts, begin, parts.now() + 60 * DAY)


def _buys(parts: Parts, now: datetime, ends: datetime) -> datetime:
    said = Evidence(Method.IMPORT, source="bought", basis=Basis.IMPLIED, valid_until=ends)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        reader = find_or_add_reader(session, b.parse_address(ADA), parts.suppression_key, now=now)
        record(session, reader, made.purposes[0], ConsentState.GIVEN, said, now=now)
    return _stands(parts)[1] or ends


def _signs_up(parts: Parts, now: datetime | None = None) -> None:
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        notice = session.scalars(select(Notice.sha256)).one()
        b.sign_up(parts, session, made, ADA, notice=notice, now=now or parts.now())


def _tokens(parts: Parts) -> list[str]:
    transport = MemoryTransport()
    b.send_all(parts, transport)
    return [b.link("c", mail.decode().replace("=\r\n", "")) for _, mail in transport.accepted]


def _press(parts: Parts, token: str, now: datetime | None = None) -> ConfirmState:
    with parts.sessions.begin() as session:
        page = confirm(
            session, parts.signer, token, Evidence(Method.CONFIRM),
            message_id_of=parts.identity.message_id, now=now or parts.now(),
        )  # fmt: skip
        assert page
        return page.state


def _a_month_later(parts: Parts) -> Job:
    return replace(retention_job(parts), now=lambda: parts.now() + 30 * DAY)


def _stands(parts: Parts) -> tuple[str, datetime | None]:
    with parts.sessions() as session:
        found = session.scalars(select(Subscription)).one()
        return found.state, found.valid_until


def test_who_signs_up_and_confirms_has_given_their_word_and_nothing_ends_any_more(
    parts: Parts, begin: datetime, bought: datetime
) -> None:
    _signs_up(parts)
    assert _stands(parts) == ("active", bought)  # it goes on as before until it is confirmed
    assert a.wrong(parts) == []
    (token,) = _tokens(parts)
    with parts.sessions() as session:
        page = open_confirmation(session, parts.signer, token, now=parts.now())
        assert page
        assert page.state is ConfirmState.OPEN
    for _ in range(2):  # a second press changes nothing
        assert _press(parts, token) is ConfirmState.DONE
    assert _stands(parts) == ("active", None)
    with parts.sessions() as session:
        reader = session.scalars(select(Subscriber)).one()
        events = consent_events(session, reader)
        assert [(each["state"], each["method"], each["basis"]) for each in events] == [
            ("given", "import", "implied"),
            ("requested", "form", "consent"),
            ("given", "confirm", "consent"),
        ]
        assert events[2]["notice"] == events[1]["notice"] is not None
        (why,) = standing_consents(events, now=parts.now())
        assert (why.given["method"], why.last["method"], why.implied) == (
            "confirm", "confirm", False,
        )  # fmt: skip
        assert session.scalars(select(Subscription.since)).one() == begin
        records = export_consent(session, reader, ExportFormat.ISO_27560, links=parts.links)
        assert [each["processing"][0]["state"] for each in records] == ["superseded", "active"]
    with parts.sessions.begin() as session:
        assert expire_consents(session, now=parts.now() + 900 * DAY) == 0
    assert a.wrong(parts) == []


def test_until_they_confirm_both_records_are_told(parts: Parts, bought: datetime) -> None:
    _signs_up(parts)
    with parts.sessions() as session:
        reader = session.scalars(select(Subscriber)).one()
        records = export_consent(session, reader, ExportFormat.ISO_27560, links=parts.links)
    assert [each["processing"][0]["state"] for each in records] == ["active", "pending"]


def test_a_form_that_somebody_fills_in_again_and_again_is_one_request_a_day(
    parts: Parts, bought: datetime
) -> None:
    for _ in range(3):
        _signs_up(parts, parts.now() - 2 * DAY)
    _signs_up(parts, parts.now() - DAY / 2)
    assert [state for state, _ in b.consents(parts)] == ["given", "requested", "requested"]
    assert _stands(parts)[0] == "active"


def test_an_implied_consent_that_nobody_confirms_ends_when_it_would_have_ended(
    parts: Parts, bought: datetime
) -> None:
    _signs_up(parts)
    (token,) = _tokens(parts)
    late = parts.now() + CONFIRM_WITHIN
    assert _press(parts, token, late) is ConfirmState.EXPIRED
    assert _stands(parts) == ("active", bought)
    with parts.sessions.begin() as session:
        assert expire_consents(session, now=bought) == 1
    assert _stands(parts)[0] == "expired"
    assert a.wrong(parts) == []


def test_who_was_asked_shortly_before_the_end_has_a_week_for_the_answer_and_no_mail_meanwhile(
    parts: Parts, begin: datetime
) -> None:
    _buys(parts, begin, parts.now() - timedelta(seconds=1))
    _signs_up(parts, parts.now() - DAY / 24)
    with parts.sessions.begin() as session:
        assert expire_consents(session, now=parts.now()) == 0
    (token,) = _tokens(parts)
    assert b.states(parts, a.send_campaign(parts)) == {}
    assert _press(parts, token) is ConfirmState.DONE
    assert _stands(parts) == ("active", None)
    assert a.wrong(parts) == []


def test_the_word_of_a_list_or_of_an_operator_makes_no_full_consent(
    parts: Parts, bought: datetime
) -> None:
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        a.add_many(parts, session, made, ADA)
    assert [state for state, _ in b.consents(parts)] == ["given"]


def test_who_leaves_while_they_are_asked_is_asked_no_more(parts: Parts, bought: datetime) -> None:
    _signs_up(parts)
    a.leave_by_link(parts, a.reader_id(parts, ADA))
    assert _tokens(parts) == []
    with parts.sessions() as session:
        (state,) = session.scalars(select(delivery.c.state))
    assert state == "withdrawn"
    assert a.wrong(parts) == []


def test_a_request_that_nobody_answered_loses_its_evidence_and_the_consent_beside_it_keeps_its_own(
    parts: Parts, bought: datetime
) -> None:
    _signs_up(parts, parts.now() - 20 * DAY)
    with parts.sessions.begin() as session:
        session.execute(update(Subscription).values(details={"name": "Somebody"}))
    job, periods = retention_job(parts), read_periods({})
    requests = {Kind.REQUESTS: periods[Kind.REQUESTS]}
    assert [each.number for each in what_is_due(job, requests)] == [1]
    assert [each.number for each in retain(job, requests)] == [1]
    assert a.wrong(parts) == []
    with parts.sessions() as session:
        assert session.scalars(select(Subscription.details)).one() == {}
    a.leave_by_link(parts, a.reader_id(parts, ADA))
    assert [each.number for each in retain(_a_month_later(parts), requests)] == [0]
    with parts.sessions() as session:  # of the consent, and of its end
        assert session.scalar(select(func.count()).select_from(ConsentEvidence)) == 2


def test_a_request_that_may_still_be_answered_keeps_its_evidence(
    parts: Parts, bought: datetime
) -> None:
    _signs_up(parts, parts.now() - 20 * DAY)
    _signs_up(parts, parts.now() - DAY)
    requests = {Kind.REQUESTS: read_periods({})[Kind.REQUESTS]}
    assert [each.number for each in what_is_due(retention_job(parts), requests)] == [0]
