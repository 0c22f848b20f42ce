"""Topics: chosen by readers and by operators, known to the privacy verbs, and no consent."""

from typing import Any

import building as b
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.domain.consent import Method
from mailer.services.consent.adding import add_reader
from mailer.services.consent.preferences import open_preferences, save_preferences
from mailer.services.consent.signup import Signup, confirm, request_signup
from mailer.services.newsletters.topics import (
    CannotTopic,
    UnknownTopic,
    add_topic,
    choose_topics,
    chosen_by,
    edit_topic,
    remove_topic,
    topics_chosen,
    topics_of,
)
from mailer.services.privacy.personal_data import personal_data_of
from mailer.services.readers.readers import show_reader
from mailer.store.consents import Evidence
from mailer.store.models import Newsletter, ReaderTopic, Subscriber
from mailer.store.readers import ReaderDetails, lock_reader
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

ADA = "ada@readers.test"


def with_topics(session: Session) -> Newsletter:
    made = b.newsletter(session)
    add_topic(session, made, "politics", labels={"en": "Politics", "fr": "Politique"})
    add_topic(session, made, "culture", labels={"en": "Culture"}, sections=["Arts", "Books"])
    return made


def signs_up(parts: Parts, topics: tuple[str, ...], now: Any = None) -> None:
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).first() or with_topics(session)
        request_signup(
            session,
            Signup(
                made, b.parse_address(ADA), ("updates",), Evidence(Method.FORM), None,
                ReaderDetails(topics=topics),
            ),
            renderer=parts.renderer, suppression_key=parts.suppression_key, now=parts.now(),
        )  # fmt: skip


def confirms(parts: Parts) -> None:
    transport = MemoryTransport()
    b.send_all(parts, transport)
    token = b.link("c", transport.accepted[-1][1].decode().replace("=\r\n", ""))
    with parts.sessions.begin() as session:
        confirm(
            session, parts.signer, token, Evidence(Method.CONFIRM),
            message_id_of=parts.identity.message_id, now=parts.now(),
        )  # fmt: skip


def chosen(parts: Parts) -> list[str]:
    with parts.sessions() as session:
        reader = session.scalars(select(Subscriber).where(Subscriber.email == ADA)).one()
        return [topic for _, topic in topics_chosen(session, reader)]


def test_what_the_sign_up_form_said_holds_once_it_is_confirmed(parts: Parts) -> None:
    signs_up(parts, ("culture", "no-such-topic"))
    assert chosen(parts) == []
    confirms(parts)
    assert chosen(parts) == ["culture"]


def test_a_form_that_anybody_can_fill_in_does_not_change_what_a_reader_chose(parts: Parts) -> None:
    signs_up(parts, ("culture",))
    confirms(parts)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        details = ReaderDetails(topics=("politics",))
        request_signup(
            session,
            Signup(
                made, b.parse_address(ADA), ("partner-promotions",), Evidence(Method.FORM), None,
                details,
            ),
            renderer=parts.renderer, suppression_key=parts.suppression_key, now=parts.now(),
        )  # fmt: skip
    confirms(parts)
    assert chosen(parts) == ["culture"]


def save(parts: Parts, topics: frozenset[str] | None) -> None:
    token = parts.links.preferences(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        assert save_preferences(
            session, parts.signer, token, wanted=frozenset({"updates"}), notice_sha256=None,
            name=None, locale=None, evidence=Evidence(Method.PREFERENCES), topics=topics,
            now=parts.now(),
        )  # fmt: skip


def test_preferences_set_topics_and_a_page_without_boxes_leaves_them(parts: Parts) -> None:
    signs_up(parts, ("culture",))
    confirms(parts)
    save(parts, None)
    assert chosen(parts) == ["culture"]
    save(parts, frozenset({"politics", "forged"}))
    assert chosen(parts) == ["politics"]
    with parts.sessions() as session:
        session.get_one(Subscriber, 1).locale = "fr"
        page = open_preferences(
            session, parts.signer, parts.links.preferences(1, 1).rpartition("/")[2]
        )
        assert page
        shown = [(each.slug, each.label, each.chosen) for each in page.topics]
        assert shown == [("politics", "Politique", True), ("culture", "Culture", False)]
    before = b.consents(parts)
    save(parts, frozenset())
    assert chosen(parts) == []
    assert b.consents(parts) == before


def test_topics_are_shown_exported_and_forgotten_with_their_reader(parts: Parts) -> None:
    signs_up(parts, ("culture",))
    confirms(parts)
    with parts.sessions() as session:
        reader = session.get_one(Subscriber, 1)
        wanted = [{"newsletter": "weekly", "topic": "culture"}]
        assert show_reader(session, reader)["topics"] == wanted
        document = personal_data_of(session, b.parse_address(ADA), parts.practice, now=parts.now())
        assert document["topics"] == wanted
    with parts.sessions.begin() as session:
        found = lock_reader(session, 1)
        assert found
        session.delete(found)
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(ReaderTopic)) == 0


def test_an_operator_adds_a_reader_with_topics_and_a_wrong_one_adds_nobody(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = with_topics(session)
        for topics in (("politics",), ("polítics",)):
            details = ReaderDetails(topics=topics)
            arguments: dict[str, Any] = {
                "purposes": ["updates"], "details": details, "attributes": {},
                "evidence": Evidence(Method.CLI, source="paper"), "renderer": parts.renderer,
                "confirm": False, "suppression_key": parts.suppression_key, "now": parts.now(),
            }  # fmt: skip
            if topics == ("politics",):
                add_reader(session, made, b.parse_address(ADA), **arguments)
                continue
            with pytest.raises(UnknownTopic, match="politics, culture"):
                add_reader(session, made, b.parse_address("bo@readers.test"), **arguments)
        assert session.scalar(select(func.count()).select_from(Subscriber)) == 1
    assert chosen(parts) == ["politics"]


def test_topics_are_added_changed_and_removed(parts: Parts) -> None:
    signs_up(parts, ("culture",))
    confirms(parts)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        for slug, labels in (("culture", {"en": "C"}), ("Not a slug", {"en": "C"}), ("x", {})):
            with pytest.raises(CannotTopic):
                add_topic(session, made, slug, labels=labels)
        assert [topic.sections for topic in topics_of(session, made)] == [
            ["Politics"], ["Arts", "Books"],
        ]  # fmt: skip
        edit_topic(session, made, "culture", labels={"fr": "Culture"}, sections=["Film"])
        edit_topic(session, made, "politics", position=9)
        session.flush()
        assert [topic.slug for topic in topics_of(session, made)] == ["culture", "politics"]
        assert topics_of(session, made)[0].labels == {"en": "Culture", "fr": "Culture"}
        assert chosen_by(session, made) == {"culture": 1, "politics": 0}
        assert remove_topic(session, made, "culture") == 1
        with pytest.raises(UnknownTopic, match="it has: politics"):
            choose_topics(session, session.get_one(Subscriber, 1), made, ["culture"])
    assert chosen(parts) == []
