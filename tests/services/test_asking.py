"""Asking again: whose consent stands under another wording, once, and what their answer records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import building as b
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from mailer.domain.consent import ConsentState, Method
from mailer.domain.errors import Refusal
from mailer.services.campaigns.asking import CannotAsk, Question, ask_again
from mailer.services.campaigns.course import cancel_campaign
from mailer.services.consent.expiring import expire_unanswered
from mailer.services.consent.preferences import Preferences, open_preferences, save_preferences
from mailer.services.mails.previewing import preview
from mailer.services.newsletters.lookup import find_purpose
from mailer.services.newsletters.notices import count_consents, current_notice, publish_notice
from mailer.services.operations.tick import tick
from mailer.store.consents import Evidence, ShownNotice, record
from mailer.store.models import (
    Campaign,
    ConsentEvent,
    Newsletter,
    Notice,
    OperatorAction,
    Subscriber,
    delivery,
)
from mailer.store.readers import ReaderDetails, find_or_add_reader
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

FIRST, SECOND, THIRD = "The first wording.", "The second wording.", "The third wording."
DAY = timedelta(days=1)
LONG_AGO = b.NOW - 900 * DAY


@pytest.fixture
def asked(parts: Parts) -> Parts:
    """Three readers under the first wording, and a second one in force."""
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        publish(session, FIRST)
        for name in ("ada", "ben", "cleo"):
            agree(parts, session, f"{name}@readers.test")
        publish(session, SECOND)
        assert made
    return parts


def weekly(session: Session) -> Newsletter:
    return session.scalars(select(Newsletter)).one()


def publish(session: Session, text: str, locale: str = "en") -> Notice:
    return publish_notice(session, weekly(session), locale=locale, text=text, now=b.NOW)


def agree(
    parts: Parts, session: Session, address: str, *, purpose: str = "updates", locale: str = "",
    unknown: bool = False,
) -> None:  # fmt: skip
    """Record a consent under the wording in force, or under an unknown one."""
    reader = find_or_add_reader(
        session, b.parse_address(address), parts.suppression_key, ReaderDetails(locale=locale),
        now=b.NOW,
    )  # fmt: skip
    made = weekly(session)
    shown = current_notice(session, made, locale or made.locale)
    record(
        session, reader, find_purpose(session, made, purpose), ConsentState.GIVEN,
        Evidence(Method.CONFIRM), now=LONG_AGO, shown=ShownNotice(shown) if shown and not unknown
        else None,
    )  # fmt: skip


def ask(parts: Parts, purpose: str = "updates", **more: object) -> list[Question]:
    """Ask; return the drafts."""
    with parts.sessions() as session:
        purpose_id = find_purpose(session, weekly(session), purpose).id
    values = {"operator": "test@here", "now": parts.now(), **more}
    return ask_again(parts.sessions, purpose_id, **values)


def begin(parts: Parts, campaign_id: int) -> None:
    """Start a draft; what is to be sent waits then."""
    with parts.sessions.begin() as session:
        b.start_campaign(session, session.get_one(Campaign, campaign_id), now=parts.now())
    b.prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )


def send(parts: Parts, campaign_id: int, transport: MemoryTransport | None = None) -> list[str]:
    """Start a draft and send it to its end; return whom it reached."""
    transport = transport or MemoryTransport()
    begin(parts, campaign_id)
    b.send_all(parts, transport)
    tick(parts.sessions, now=parts.now)
    states = b.states(parts, campaign_id)
    return sorted(address.split("@")[0] for address, state in states.items() if state == "sent")


def page(parts: Parts, reader: int = 1) -> Preferences:
    """Open the page behind the mail's button."""
    token = parts.links.preferences(1, reader).rpartition("/")[2]
    with parts.sessions() as session:
        found = open_preferences(session, parts.signer, token)
        assert found
        assert [each.label for each in found.purposes]  # loaded before the session closes
        return found


def save(
    parts: Parts, *wanted: str, reader: int = 1, notice: str | None = None,
    now: datetime | None = None,
) -> Preferences:  # fmt: skip
    """Press the page's button with these boxes ticked."""
    shown = notice if notice is not None else page(parts, reader).notice
    token = parts.links.preferences(1, reader).rpartition("/")[2]
    with parts.sessions.begin() as session:
        found = save_preferences(
            session, parts.signer, token, wanted=frozenset(wanted),
            notice_sha256=shown.sha256 if isinstance(shown, Notice) else shown, name=None,
            locale=None, evidence=Evidence(Method.PREFERENCES), now=now or parts.now(),
        )  # fmt: skip
        assert found
        return found


def events(parts: Parts, reader: int = 1) -> list[tuple[str, str, str | None]]:
    """Return state, purpose and wording of what a reader said, oldest first."""
    with parts.sessions() as session:
        rows = session.scalars(
            select(ConsentEvent)
            .where(ConsentEvent.subscriber_id == reader)
            .order_by(ConsentEvent.id)
        ).all()
        slugs = {each.id: each.slug for each in weekly(session).purposes}
        texts = {each.id: each.text for each in session.scalars(select(Notice))}
        return [(row.state, slugs[row.purpose_id], texts.get(row.notice_id or 0)) for row in rows]


def test_a_new_wording_touches_no_old_consent(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.newsletter(session)
        first = publish(session, FIRST)
        agree(parts, session, "ada@readers.test")
        before = first.sha256, events_of(session)
    with parts.sessions.begin() as session:
        b.add_purpose(session, weekly(session), "exclusives", "Exclusive stories")
        second = publish(session, SECOND)
        assert (second.version, second.purposes[-1]["slug"]) == (3, "exclusives")
    with parts.sessions() as session:
        first = session.get_one(Notice, 2)
        assert (first.sha256, events_of(session)) == before
        assert [each["slug"] for each in first.purposes] == ["updates", "partner-promotions"]
        assert count_consents(session, first) == 1
        assert count_consents(session, session.get_one(Notice, 3)) == 0
    assert b.subscriptions(parts) == {"updates": "active"}


def events_of(session: Session) -> list[tuple[object, ...]]:
    rows = session.execute(select(ConsentEvent.__table__).order_by(ConsentEvent.id))
    return [tuple(row) for row in rows]


def test_those_are_asked_whose_consent_stands_under_another_wording(asked: Parts) -> None:
    with asked.sessions.begin() as session:
        agree(asked, session, "dora@readers.test")  # under the second already
        agree(asked, session, "emma@readers.test", unknown=True)  # from a list
        agree(asked, session, "finn@readers.test", purpose="partner-promotions")
    [question] = ask(asked)
    assert question.readers == 4
    assert send(asked, question.campaign.id) == ["ada", "ben", "cleo", "emma"]
    assert b.campaign_state(asked, question.campaign.id) == "finished"
    with asked.sessions() as session:
        [action] = session.scalars(select(OperatorAction))
        assert (action.action, action.operator) == ("notice ask", "test@here")


def test_who_left_is_suppressed_or_renewed_in_between_is_not_asked(asked: Parts) -> None:
    save(asked, reader=2)
    save(asked, "updates", reader=3)
    [question] = ask(asked)
    assert question.readers == 1
    assert send(asked, question.campaign.id) == ["ada"]


def test_nobody_is_asked_twice_under_one_wording(asked: Parts) -> None:
    with asked.sessions.begin() as session:
        agree(asked, session, "ada@readers.test", purpose="partner-promotions", unknown=True)
    [question] = ask(asked)
    with pytest.raises(CannotAsk, match=rf"Campaign {question.campaign.id} asks"):
        ask(asked, "partner-promotions")  # while the other has not ended
    assert send(asked, question.campaign.id) == ["ada", "ben", "cleo"]
    for purpose in ("updates", "partner-promotions"):
        with pytest.raises(CannotAsk, match="nobody to ask"):
            ask(asked, purpose)
    with asked.sessions.begin() as session:
        agree(asked, session, "dora@readers.test", unknown=True)
    [again] = ask(asked)
    assert send(asked, again.campaign.id) == ["dora"]
    with asked.sessions.begin() as session:
        publish(session, THIRD)
    [anew] = ask(asked)
    assert send(asked, anew.campaign.id) == ["ada", "ben", "cleo", "dora"]


def test_whom_a_cancelled_campaign_did_not_reach_is_asked_by_the_next(asked: Parts) -> None:
    [question] = ask(asked)
    with asked.sessions.begin() as session:
        campaign = session.get_one(Campaign, question.campaign.id)
        b.start_campaign(session, campaign, now=asked.now())
    b.prepare_campaign(
        asked.sessions, question.campaign.id, renderer=asked.renderer, now=asked.now,
        pause=lambda: None,
    )  # fmt: skip
    with asked.sessions.begin() as session:
        campaign = session.get_one(Campaign, question.campaign.id)
        cancel_campaign(session, campaign, now=asked.now())
    [again] = ask(asked)
    assert send(asked, again.campaign.id) == ["ada", "ben", "cleo"]


def test_who_may_still_be_asked_by_a_retry_is_not_asked_by_another(asked: Parts) -> None:
    [question] = ask(asked)
    send(asked, question.campaign.id)
    with asked.sessions.begin() as session:
        session.execute(
            update(delivery).where(delivery.c.subscriber_id == 1).values(state="failed")
        )
    with pytest.raises(CannotAsk, match="nobody to ask"):
        ask(asked)
    with asked.sessions.begin() as session:
        campaign = session.get_one(Campaign, question.campaign.id)
        assert b.decide(session, campaign, "retry", asked.now()) == 1


def test_a_mail_that_waits_does_not_go_to_a_reader_who_has_renewed_meanwhile(
    asked: Parts,
) -> None:
    [question] = ask(asked)
    begin(asked, question.campaign.id)
    save(asked, "updates", reader=1)
    save(asked, reader=2)
    transport = MemoryTransport()
    b.send_all(asked, transport)
    assert [envelope.recipient for envelope, _ in transport.accepted] == ["cleo@readers.test"]
    assert b.states(asked, question.campaign.id) == {
        "ada@readers.test": "cancelled", "ben@readers.test": "withdrawn",
        "cleo@readers.test": "sent",
    }  # fmt: skip
    tick(asked.sessions, now=asked.now)
    assert b.campaign_state(asked, question.campaign.id) == "finished"


def test_what_failed_is_not_tried_again_with_a_reader_who_has_renewed_since(asked: Parts) -> None:
    [question] = ask(asked)
    send(asked, question.campaign.id)
    with asked.sessions.begin() as session:
        session.execute(update(delivery).values(state="failed"))
    save(asked, "updates", reader=1)
    with asked.sessions.begin() as session:
        campaign = session.get_one(Campaign, question.campaign.id)
        assert b.decide(session, campaign, "retry", asked.now()) == 2
    assert b.states(asked, question.campaign.id)["ada@readers.test"] == "failed"


def test_a_wording_that_is_no_longer_in_force_is_asked_about_no_more(asked: Parts) -> None:
    [question] = ask(asked)
    with asked.sessions.begin() as session:
        publish(session, THIRD)
    assert send(asked, question.campaign.id) == []
    [again] = ask(asked)
    assert again.notice.text == THIRD


def test_everybody_is_asked_in_the_wording_of_their_language(parts: Parts) -> None:
    spoken = {
        "ada": "",
        "ben": "en-GB",
        "cleo": "fr",
        "dora": "fr-CA",
        "emma": "de",
        "finn": "pt-PT",
    }
    with parts.sessions.begin() as session:
        b.newsletter(session)
        for name, locale in spoken.items():
            agree(parts, session, f"{name}@readers.test", locale=locale, unknown=True)
        for locale in ("fr", "pt-BR"):
            publish(session, f"In {locale}.", locale)
    with parts.sessions() as session:
        shown = {
            name: current_notice(session, weekly(session), locale or "en").locale
            for name, locale in spoken.items()
        }
    found = {each.notice.locale: each.campaign.id for each in ask(parts)}
    assert sorted(found) == ["en", "fr", "pt-BR"]
    for locale, campaign_id in found.items():
        names = [name for name, their in shown.items() if their == locale]
        assert send(parts, campaign_id) == names
        with parts.sessions() as session:
            seen = preview(
                session, session.get_one(Campaign, campaign_id), parts.renderer, now=parts.now()
            )
            assert f'lang="{locale}"' in seen.html
            assert (f"In {locale}." if locale != "en" else b.WORDING[:30]) in seen.text


def test_the_page_says_what_has_changed_and_its_button_renews_once(asked: Parts) -> None:
    with asked.sessions.begin() as session:
        b.add_purpose(session, weekly(session), "exclusives", "Exclusive stories")
        publish(session, THIRD)
    found = page(asked)
    assert found.new_wording
    assert found.new_wording.before
    assert found.new_wording.before.text == FIRST
    assert found.new_wording.changes
    assert found.new_wording.changes.text
    assert found.new_wording.changes.added == ("Exclusive stories",)
    assert events(asked) == [("given", "updates", FIRST)]  # looking changed nothing
    since = standing_since(asked)
    saved = save(asked, "updates", "exclusives")
    assert saved.new_wording is None
    save(asked, "updates", "exclusives")
    assert events(asked) == [
        ("given", "updates", FIRST),
        ("renewed", "updates", THIRD),
        ("given", "exclusives", THIRD),
    ]
    assert standing_since(asked) == since
    save(asked, "exclusives")
    assert events(asked)[-1] == ("withdrawn", "updates", THIRD)


def standing_since(parts: Parts) -> datetime:
    with parts.sessions() as session:
        reader = session.get_one(Subscriber, 1)
        return session.scalars(
            select(b.Subscription.since).where(
                b.Subscription.subscriber_id == reader.id, b.Subscription.purpose_id == 1
            )
        ).one()


def test_a_form_that_names_no_wording_or_an_older_one_renews_nothing(asked: Parts) -> None:
    with asked.sessions() as session:
        first = session.scalars(select(Notice).where(Notice.text == FIRST)).one().sha256
    save(asked, "updates", notice=first)
    token = asked.links.preferences(1, 1).rpartition("/")[2]
    with asked.sessions.begin() as session:
        save_preferences(
            session, asked.signer, token, wanted=frozenset({"updates"}), notice_sha256=None,
            name=None, locale=None, evidence=Evidence(Method.PREFERENCES), now=asked.now(),
        )  # fmt: skip
    save(asked, "updates")
    save(asked, "updates", notice=first)
    assert events(asked) == [("given", "updates", FIRST), ("renewed", "updates", SECOND)]


def test_without_a_date_silence_changes_nothing(asked: Parts) -> None:
    [question] = ask(asked)
    send(asked, question.campaign.id)
    assert expire_unanswered(asked.sessions, now=asked.now() + 400 * DAY) == 0
    assert events(asked) == [("given", "updates", FIRST)]


def test_with_a_date_the_consent_of_those_who_were_sent_it_and_are_silent_ends(
    asked: Parts,
) -> None:
    by = asked.now() + 30 * DAY
    with asked.sessions.begin() as session:
        agree(asked, session, "dora@readers.test")  # not asked: under the second already
    [question] = ask(asked, answer_by=by)
    with asked.sessions() as session:
        seen = preview(
            session, session.get_one(Campaign, question.campaign.id), asked.renderer,
            now=asked.now(),
        )  # fmt: skip
        assert "If we do not hear from you by" in seen.text
    assert send(asked, question.campaign.id) == ["ada", "ben", "cleo"]
    save(asked, "updates", reader=2, now=asked.now())
    assert expire_unanswered(asked.sessions, now=by - DAY) == 0
    with asked.sessions.begin() as session:  # one whom it did not reach is not silent
        session.execute(
            update(delivery).where(delivery.c.subscriber_id == 3).values(state="failed")
        )
    assert expire_unanswered(asked.sessions, now=by) == 1
    assert expire_unanswered(asked.sessions, now=by + DAY) == 0
    assert [events(asked, reader)[-1][0] for reader in (1, 2, 3, 4)] == [
        "expired", "renewed", "given", "given",
    ]  # fmt: skip
    with asked.sessions() as session:
        waiting = select(func.count()).where(Campaign.answer_by.is_not(None))
        assert session.scalar(waiting) == 0


def test_a_purpose_that_no_wording_names_cannot_be_asked_for(asked: Parts) -> None:
    with asked.sessions.begin() as session:
        b.add_purpose(session, weekly(session), "surveys", "Surveys")
    with pytest.raises(Refusal, match="No wording of weekly in force names surveys"):
        ask(asked, "surveys")


def at_once(works: Sequence[Callable[[], object]]) -> list[object]:
    """Do all of it in threads that begin together; return what came of each, errors too."""
    ready = Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        ready.wait(b.WITHIN)
        try:
            return work()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_of_many_who_ask_at_once_one_does(asked: Parts) -> None:
    came = at_once([lambda: ask(asked)] * 6)
    assert sum(isinstance(each, list) for each in came) == 1
    assert sum(isinstance(each, CannotAsk) for each in came) == 5
    with asked.sessions() as session:
        assert session.scalar(select(func.count(Campaign.id))) == 1


def test_many_who_publish_at_once_publish_one_version_after_the_other(asked: Parts) -> None:
    def publish_one(number: int) -> int:
        with asked.sessions.begin() as session:
            return publish(session, f"Wording {number}.").version

    came = at_once([lambda number=number: publish_one(number) for number in range(6)])
    assert sorted(came) == [4, 5, 6, 7, 8, 9]
