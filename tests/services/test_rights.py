"""A reader's own requests: a mail first, then the link in it, and nothing by the link alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default

import building as b
import pytest
from sqlalchemy import select

from mailer.services.privacy.personal_data import as_json
from mailer.services.privacy.rights import (
    Answer,
    LinkState,
    Wish,
    WishPage,
    WishTaken,
    day_of,
    fulfil_erasure,
    fulfil_export,
    open_wish,
    take_wish,
)
from mailer.store.ledger import recover_abandoned
from mailer.store.models import Erasure, OperatorAction, Subscriber, Subscription, delivery
from mailer.store.suppressions import standing, suppress
from mailer.transports import Unknown
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

ADDRESS = "reader0@readers.test"


def _reader(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), 1)
        session.scalars(select(Subscriber)).one().name = "A <stranger>'s words"


def _wish(parts: Parts, wish: Wish, now: datetime | None = None) -> WishTaken | None:
    token = parts.links.preferences(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        return take_wish(
            session, parts.signer, token, wish, renderer=parts.renderer, now=now or parts.now()
        )


def _open(parts: Parts, token: str, wish: Wish, now: datetime | None = None) -> WishPage | None:
    with parts.sessions() as session:
        return open_wish(session, parts.signer, token, wish, now=now or parts.now())


def _erase(parts: Parts, token: str, now: datetime | None = None) -> WishPage | None:
    with parts.sessions.begin() as session:
        page, erased = fulfil_erasure(session, parts.signer, token, now=now or parts.now())
    assert (erased is None) or (page is not None and page.state is LinkState.DONE)
    return page


def _sent(parts: Parts) -> list[bytes]:
    transport = MemoryTransport()
    b.send_all(parts, transport)
    return [content for _, content in transport.accepted]


def _token(parts: Parts, wish: Wish) -> str:
    assert _wish(parts, wish)
    letter = {Wish.EXPORT: "d", Wish.ERASE: "e"}[wish]
    return b.link(letter, _sent(parts)[-1].decode().replace("=\r\n", ""))


@pytest.mark.parametrize("wish", list(Wish))
def test_a_wish_sends_one_mail_to_the_readers_own_address(parts: Parts, wish: Wish) -> None:
    _reader(parts)
    taken = _wish(parts, wish)
    assert taken
    assert (taken.answer, taken.email) == (Answer.MAILED, ADDRESS)
    [content] = _sent(parts)
    mail = message_from_bytes(content, policy=default)
    assert mail["To"] == ADDRESS
    assert mail["Auto-Submitted"] == "auto-generated"
    assert not [name for name in mail if name.startswith("List-")]
    assert b"stranger" not in content, "nothing that anybody typed stands in it"
    letter = {Wish.EXPORT: "/d/", Wish.ERASE: "/e/"}[wish]
    other = {"/d/": "/e/", "/e/": "/d/"}[letter]
    parts_of_mail = [part.get_content() for part in mail.walk() if not part.is_multipart()]
    assert all(letter in text and other not in text for text in parts_of_mail)


def test_the_mailed_link_gives_everything_and_says_so_in_the_audit_trail(parts: Parts) -> None:
    _reader(parts)
    token = _token(parts, Wish.EXPORT)
    page = _open(parts, token, Wish.EXPORT)
    assert page
    assert page.state is LinkState.OPEN
    with parts.sessions.begin() as session:
        document = fulfil_export(session, page, "json", parts.practice, now=parts.now())
    assert ADDRESS in as_json(document)
    with parts.sessions() as session:
        acts = session.scalars(select(OperatorAction).order_by(OperatorAction.id)).all()
        assert [(act.operator, act.action, act.subscriber_id) for act in acts] == [
            ("reader", "privacy export", 1)
        ] * 2
        assert [act.details["step"] for act in acts] == ["asked, a mail was sent", "downloaded"]


def test_the_mailed_link_erases_once_and_then_says_that_it_is_done(parts: Parts) -> None:
    _reader(parts)
    token = _token(parts, Wish.ERASE)
    page = _open(parts, token, Wish.ERASE)
    assert page
    assert (page.state, page.ends) == (LinkState.OPEN, ("The Weekly",))
    assert b.subscriptions(parts) == {"updates": "active"}, "looking changes nothing"
    for _ in range(2):
        done = _erase(parts, token)
        assert done
        assert done.state is LinkState.DONE
    with parts.sessions() as session:
        assert session.scalars(select(Subscriber)).all() == []
        assert session.scalars(select(Subscription)).all() == []
        assert [each.method for each in session.scalars(select(Erasure))] == ["preferences"]
        acts = session.scalars(select(OperatorAction).order_by(OperatorAction.id)).all()
        assert [act.details["step"] for act in acts] == ["asked, a mail was sent", "done"]
    assert b.consents(parts)[-1] == ("withdrawn", "erasure")
    export = parts.links.export(1, 1, day_of(parts.now())).rpartition("/")[2]
    gone = _open(parts, export, Wish.EXPORT)
    assert gone
    assert gone.state is LinkState.DONE


def test_a_link_works_for_seven_days_and_not_before_it_was_asked_for(parts: Parts) -> None:
    _reader(parts)
    asked = parts.now()
    token = parts.links.erase(1, 1, day_of(asked)).rpartition("/")[2]
    for days, state in ((0, "open"), (7, "open"), (8, "run out"), (-1, "run out")):
        page = _open(parts, token, Wish.ERASE, asked + timedelta(days=days))
        assert page
        assert page.state == state, days
    late = _erase(parts, token, asked + timedelta(days=8))
    assert late
    assert late.state is LinkState.RUN_OUT
    assert b.subscriptions(parts) == {"updates": "active"}


def test_a_link_of_one_kind_opens_no_other_door(parts: Parts) -> None:
    _reader(parts)
    export = parts.links.export(1, 1, day_of(parts.now())).rpartition("/")[2]
    preferences = parts.links.preferences(1, 1, day_of(parts.now())).rpartition("/")[2]
    for wrong in (export, preferences, "x", export[:-1]):
        assert _open(parts, wrong, Wish.ERASE) is None
        assert _erase(parts, wrong) is None
    assert b.subscriptions(parts) == {"updates": "active"}


def test_no_more_than_three_mails_a_day(parts: Parts) -> None:
    _reader(parts)
    now = parts.now()
    wishes = [Wish.EXPORT, Wish.ERASE, Wish.EXPORT, Wish.ERASE, Wish.EXPORT]
    taken = [_wish(parts, wish, now) for wish in wishes]
    answers = [each.answer.value for each in taken if each]
    assert answers == ["mailed"] * 3 + ["too many"] * 2
    assert len(_sent(parts)) == 3
    tomorrow = _wish(parts, Wish.EXPORT, now + timedelta(days=1, seconds=1))
    assert tomorrow
    assert tomorrow.answer is Answer.MAILED


def test_who_is_suppressed_is_told_whom_to_write_to(parts: Parts) -> None:
    _reader(parts)
    with parts.sessions.begin() as session:
        hashed = session.scalars(select(Subscriber.address_hash)).one()
        suppress(session, hashed, b.SuppressionReason.COMPLAINT, now=parts.now())
    taken = _wish(parts, Wish.ERASE)
    assert taken
    assert (taken.answer, taken.contact) == (Answer.SUPPRESSED, "a@b.test")
    assert _sent(parts) == []


def test_a_mail_that_waits_when_its_reader_is_suppressed_is_not_sent(parts: Parts) -> None:
    _reader(parts)
    _wish(parts, Wish.EXPORT)
    with parts.sessions.begin() as session:
        hashed = session.scalars(select(Subscriber.address_hash)).one()
        suppress(session, hashed, b.SuppressionReason.HARD_BOUNCE, now=parts.now())
    assert _sent(parts) == []
    assert b.states(parts) == {ADDRESS: "suppressed"}


def test_a_reader_who_receives_nothing_any_more_still_gets_the_mail(parts: Parts) -> None:
    _reader(parts)
    with parts.sessions.begin() as session:
        for subscription in session.scalars(select(Subscription)):
            subscription.state = "left"
    assert _token(parts, Wish.EXPORT)


def test_what_may_have_been_sent_is_sent_again(parts: Parts) -> None:
    _reader(parts)
    _wish(parts, Wish.EXPORT)
    lost = MemoryTransport(script={ADDRESS: [Unknown("gone after the dot")]})
    b.send_all(parts, lost)
    assert b.states(parts) == {ADDRESS: "queued"}
    with parts.sessions.begin() as session:
        died = {"state": "sending", "lease_until": b.NOW - timedelta(days=1)}
        session.execute(delivery.update().values(died))
        key = session.execute(select(delivery.c.period, delivery.c.id)).one()
        grace = timedelta(minutes=15)
        assert recover_abandoned(session, [tuple(key)], grace=grace) == 0
    assert b.states(parts) == {ADDRESS: "queued"}
    assert len(_sent(parts)) == 1


def test_who_was_erased_by_themselves_may_sign_up_again(parts: Parts) -> None:
    _reader(parts)
    _erase(parts, _token(parts, Wish.ERASE))
    with parts.sessions.begin() as session:
        b.sign_up(parts, session, session.get_one(b.Newsletter, 1), ADDRESS, now=parts.now())
    [content] = _sent(parts)
    assert b"/c/" in content.replace(b"=\r\n", b"")
    with parts.sessions() as session:
        hashed = session.scalars(select(Subscriber.address_hash)).one()
        assert [each.reason for each in standing(session, hashed)] == ["erasure"]


def test_a_preference_link_of_somebody_who_is_gone_wishes_nothing(parts: Parts) -> None:
    _reader(parts)
    _erase(parts, _token(parts, Wish.ERASE))
    assert _wish(parts, Wish.EXPORT) is None
    assert _sent(parts) == []
