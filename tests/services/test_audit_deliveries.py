"""The audit of mails: whoever was written to without a standing consent is named."""

from datetime import datetime, timedelta
from typing import Any

import audits as a
import building as b
import pytest
from sqlalchemy import delete, insert, select, update

from mailer.domain.consent import ConsentState
from mailer.domain.deliveries import DeliveryState
from mailer.domain.suppression import SuppressionReason
from mailer.services.audit import Finding, Kind
from mailer.store.models import Campaign, Newsletter, Subscriber, attempt, delivery
from mailer.store.suppressions import suppress
from mailer.wiring import Parts

HOUR = timedelta(hours=1)
READER = "reader@readers.test"


@pytest.fixture
def noon(parts: Parts) -> datetime:
    """A day ago one reader said yes; the moment of that."""
    noon = parts.now() - timedelta(days=1)
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        made.created_at = noon
        a.add_many(parts, session, made, "other@readers.test")
        b.find_or_add_reader(
            session, b.parse_address(READER), parts.suppression_key, b.ReaderDetails(), now=noon
        )
    a.say(parts, READER, ConsentState.GIVEN, now=noon)
    with parts.sessions.begin() as session:
        session.execute(
            insert(Campaign).values(
                public_id="c", newsletter_id=1, purpose_id=1, subject="News", preheader="",
                template="digest", content={}, lane=2, state="finished", paused_reason="",
                resume_state="", created_at=noon, period=202611, upper_subscriber_id=9,
                cursor_subscriber_id=9,
            )
        )  # fmt: skip
    return noon


def _mail(
    parts: Parts, planned: datetime, settled: datetime | None, *, state: str = "sent",
    tries: tuple[tuple[datetime, str, str], ...] = (), **more: Any,
) -> int:  # fmt: skip
    """Put in a mail to the reader, and its tries: time, stage, outcome."""
    reader = a.reader_id(parts, READER)
    row = {
        "period": 202611, "campaign_id": 1, "subscriber_id": reader, "newsletter_id": 1,
        "next_at": planned, "created_at": planned, "expires_at": planned + 48 * HOUR,
        "settled_at": settled, "fence": max(len(tries), 1), "lane": 2, "kind": "campaign",
        "state": state, "provider": "readers.test", **more,
    }  # fmt: skip
    with parts.sessions.begin() as session:
        key = session.connection().execute(insert(delivery).values(row)).inserted_primary_key
        assert key
        for fence, (at, stage, outcome) in enumerate(tries, 1):
            said = {
                "period": row["period"], "delivery_id": key[0], "fence": fence, "at": at,
                "relay": "r", "outcome": outcome, "stage": stage, "reply": "",
            }  # fmt: skip
            session.connection().execute(insert(attempt).values(said))
        return int(key[0])


def _found(parts: Parts) -> list[tuple[Kind, str]]:
    mails = (Kind.DELIVERY, Kind.SUPPRESSED, Kind.UNDECIDED)
    return [(each.kind, each.row) for each in _findings(parts) if each.kind in mails]


def _findings(parts: Parts) -> list[Finding]:
    return list(a.audit(parts).findings())


def test_a_mail_under_a_standing_consent_is_right(parts: Parts, noon: datetime) -> None:
    _mail(parts, noon + HOUR, noon + 2 * HOUR)
    assert _found(parts) == []


def test_a_mail_before_the_consent_is_found(parts: Parts, noon: datetime) -> None:
    number = _mail(parts, noon - 2 * HOUR, noon - HOUR)
    assert _found(parts) == [(Kind.DELIVERY, str(number))]
    (finding,) = [each for each in _findings(parts) if each.kind is Kind.DELIVERY]
    assert finding.details["campaign"] == 1
    assert finding.details["reader"] == a.reader_id(parts, READER)
    assert "given later" in finding.words


def test_a_mail_to_a_reader_who_had_left_is_found(parts: Parts, noon: datetime) -> None:
    a.say(parts, READER, ConsentState.WITHDRAWN, now=noon + HOUR)
    number = _mail(parts, noon + 2 * HOUR, noon + 3 * HOUR)
    assert _found(parts) == [(Kind.DELIVERY, str(number))]
    assert "left since" in next(e for e in _findings(parts) if e.kind is Kind.DELIVERY).words


def test_a_mail_between_leaving_and_coming_back_is_found(parts: Parts, noon: datetime) -> None:
    a.say(parts, READER, ConsentState.WITHDRAWN, now=noon + HOUR)
    a.say(parts, READER, ConsentState.GIVEN, now=noon + 4 * HOUR)
    within = _mail(parts, noon + 2 * HOUR, noon + 3 * HOUR)
    assert _found(parts) == [(Kind.DELIVERY, str(within))]


def test_who_leaves_while_a_mail_is_handed_over_makes_no_exception(
    parts: Parts, noon: datetime
) -> None:
    a.say(parts, READER, ConsentState.WITHDRAWN, now=noon + HOUR)
    number = _mail(parts, noon, noon + HOUR + timedelta(minutes=2))
    assert _found(parts) == [(Kind.UNDECIDED, str(number))]
    assert a.wrong(parts) == []


def test_a_mail_that_nobody_knows_of_counts_as_handed_over(parts: Parts, noon: datetime) -> None:
    a.say(parts, READER, ConsentState.WITHDRAWN, now=noon + HOUR)
    for campaign, state in enumerate(("uncertain", "presumed_sent"), 1):
        _mail(parts, noon + 2 * HOUR, noon + 3 * HOUR, state=state, period=202600 + campaign)
    assert [kind for kind, _ in _found(parts)] == [Kind.DELIVERY, Kind.DELIVERY]


def test_what_a_dead_worker_left_is_judged_by_its_lease(parts: Parts, noon: datetime) -> None:
    """It was settled long after the reader left, and handed over before."""
    left = noon + HOUR
    a.say(parts, READER, ConsentState.WITHDRAWN, now=left)
    found_dead = ((left + 5 * HOUR, "gate", "uncertain"),)
    _mail(
        parts, noon, left + 5 * HOUR, state="uncertain", tries=found_dead,
        lease_until=left - timedelta(minutes=5),
    )  # fmt: skip
    assert _found(parts) == []
    late = _mail(
        parts, noon, left + 5 * HOUR, state="uncertain", tries=found_dead, period=202612,
        lease_until=left + HOUR,
    )  # fmt: skip
    assert _found(parts) == [(Kind.DELIVERY, str(late))]


def test_every_try_that_had_content_is_judged(parts: Parts, noon: datetime) -> None:
    """Refused after its dot while the consent stood, tried again after it had ended."""
    a.say(parts, READER, ConsentState.WITHDRAWN, now=noon + HOUR)
    _mail(
        parts, noon, noon + HOUR, state="withdrawn",
        tries=((noon + HOUR / 2, "dot", "queued"),),
    )  # fmt: skip
    assert _found(parts) == []
    number = _mail(
        parts, noon, noon + 3 * HOUR, state="failed", period=202612,
        tries=((noon + HOUR / 2, "rcpt", "queued"), (noon + 3 * HOUR, "dot", "failed")),
    )  # fmt: skip
    assert _found(parts) == [(Kind.DELIVERY, str(number))]


def test_what_was_never_handed_over_needs_no_consent(parts: Parts, noon: datetime) -> None:
    a.say(parts, READER, ConsentState.WITHDRAWN, now=noon + HOUR)
    for month, state in enumerate(("withdrawn", "failed", "suppressed", "expired", "queued"), 1):
        tries = ((noon + 2 * HOUR, "rcpt", "queued"),)
        _mail(parts, noon, noon + 3 * HOUR, state=state, period=202600 + month, tries=tries)
    assert _found(parts) == []


def test_a_mail_after_an_implied_consent_was_over_is_found(parts: Parts, noon: datetime) -> None:
    with parts.sessions.begin() as session:
        reader = session.scalars(select(Subscriber).where(Subscriber.email == READER)).one()
        purpose = session.scalars(select(Newsletter)).one().purposes[1]
        implied = b.Evidence(b.Method.CLI, valid_until=noon + 2 * HOUR)
        b.record(session, reader, purpose, ConsentState.GIVEN, implied, now=noon)
        session.execute(update(Campaign).values(purpose_id=purpose.id))
    _mail(parts, noon + HOUR, noon + HOUR)
    number = _mail(parts, noon + 3 * HOUR, noon + 4 * HOUR, period=202612)
    assert _found(parts) == [(Kind.DELIVERY, str(number))]
    assert "over since" in next(e for e in _findings(parts) if e.kind is Kind.DELIVERY).words


def test_a_confirmation_needs_a_request_that_stands(parts: Parts, noon: datetime) -> None:
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        b.sign_up(parts, session, made, READER, ("partner-promotions",), now=noon + HOUR)
        session.execute(delete(delivery))
    asks = {"kind": "confirmation", "campaign_id": None}
    _mail(parts, noon + HOUR, noon + 2 * HOUR, **asks)
    number = _mail(parts, noon, noon + HOUR / 2, **asks)
    assert _found(parts) == [(Kind.DELIVERY, str(number))]


def test_a_mail_of_no_campaign_is_found(parts: Parts, noon: datetime) -> None:
    number = _mail(parts, noon + HOUR, noon + 2 * HOUR, campaign_id=77)
    assert _found(parts) == [(Kind.DELIVERY, str(number))]


@pytest.mark.parametrize("reason", [SuppressionReason.COMPLAINT, SuppressionReason.ERASURE])
def test_a_mail_to_a_suppressed_address_is_found(
    parts: Parts, noon: datetime, reason: SuppressionReason
) -> None:
    with parts.sessions.begin() as session:
        reader = session.scalars(select(Subscriber).where(Subscriber.email == READER)).one()
        suppress(session, reader.address_hash, reason, now=noon + HOUR)
    _mail(parts, noon, noon + HOUR / 2)
    number = _mail(parts, noon + 2 * HOUR, noon + 3 * HOUR, period=202612)
    assert _found(parts) == [(Kind.SUPPRESSED, str(number))]


def test_a_reader_who_was_forgotten_is_judged_like_all_others(parts: Parts, noon: datetime) -> None:
    a.say(parts, READER, ConsentState.WITHDRAWN, now=noon + HOUR)
    _mail(parts, noon, noon + HOUR / 2)
    number = _mail(parts, noon + 2 * HOUR, noon + 3 * HOUR, period=202612)
    a.forget(parts, a.reader_id(parts, READER))
    assert _found(parts) == [(Kind.DELIVERY, str(number))]


def test_a_sent_mail_whose_reader_said_nothing_is_found(parts: Parts, noon: datetime) -> None:
    number = _mail(parts, noon, noon + HOUR, subscriber_id=4711, state=DeliveryState.SENT.value)
    assert _found(parts) == [(Kind.DELIVERY, str(number))]
