"""Mails that differ by reader: one is compiled for every outcome, and everybody gets their own."""

import building as b
import personal as p
import pytest
from sqlalchemy import select

from mailer.domain.errors import Refusal
from mailer.domain.locales import direction
from mailer.locales import translations
from mailer.services.mails.previewing import preview
from mailer.services.mails.renderer import Renderer
from mailer.store.models import Campaign, Subscriber, WantedVariant, delivery
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

TOPICS = ("politics", "culture", "sport")


def stories(text: str) -> list[str]:
    """Return which stories stand in a digest."""
    return [line.removeprefix("Story of ") for line in text.splitlines() if "Story of" in line]


def test_readers_of_a_digest_get_the_sections_of_their_topics(parts: Parts) -> None:
    campaign_id = p.start(parts, 5, template="digest", topics=TOPICS)
    p.change(parts, 1, topics=["politics"])
    p.change(parts, 2, topics=["sport", "culture"])
    p.change(parts, 3, topics=["politics"])
    p.prepare(parts, campaign_id)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    got = {reader: stories(text) for reader, text in p.texts(transport).items()}
    everything = ["Politics", "Culture", "Sport", "the day"]
    assert got == {
        "0": everything,
        "1": ["Politics", "the day"],
        "2": ["Culture", "Sport", "the day"],
        "3": ["Politics", "the day"],
        "4": everything,
    }
    assert p.variants(parts) == 3
    for envelope, content in transport.accepted:
        html = p.part(content, "text/html")
        number = envelope.recipient.partition("@")[0].removeprefix("reader")
        assert [each for each in everything if f">Story of {each}</a>" in html] == got[number]


def test_readers_whose_topics_have_no_story_get_all_of_them(parts: Parts) -> None:
    campaign_id = p.start(parts, 1, template="digest", topics=[*TOPICS, "science"])
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        some = [each for each in campaign.content["articles"] if each["section"]]
        campaign.content = {**campaign.content, "articles": some}
    p.change(parts, 0, topics=["science"])
    p.prepare(parts, campaign_id)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert stories(p.texts(transport)["0"]) == ["Politics", "Culture", "Sport"]


def test_outcomes_are_compiled_once_for_however_many_readers(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, compile_it = [], Renderer.campaign_message

    def counted(self: Renderer, *given: object, **named: object) -> object:
        made.append(1)
        return compile_it(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Renderer, "campaign_message", counted)
    campaign_id = p.start(parts, 40, template="digest", topics=TOPICS)
    for reader in range(40):
        p.change(parts, reader, topics=TOPICS[: reader % 3])
    p.prepare(parts, campaign_id)
    assert len(made) == 3 == p.variants(parts)
    p.prepare(parts, campaign_id)
    assert len(made) == 3


def test_a_campaign_without_conditions_has_one_variant_and_asks_nothing_of_its_readers(
    parts: Parts,
) -> None:
    name = p.write_template(parts, subject="For {{ reader.first_name | upper }}")
    campaign_id = p.start(parts, 2, template=name)
    p.change(parts, 0, name="Ada Lovelace", attributes={"city": "Kano"})
    p.prepare(parts, campaign_id)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert any(b"Subject: For ADA\r\n" in content for _, content in transport.accepted)
    with parts.sessions() as session:
        assert not session.get_one(Campaign, campaign_id).personal
    assert p.variants(parts) == 1


def test_values_and_conditions_are_worked_out_for_each_reader(parts: Parts) -> None:
    name = p.write_template(
        parts,
        text="{% if reader.attributes.age | int > 17 %}Adult {% endif %}"
        "{{ reader.attributes.get('city', 'nowhere') | upper }} {{ reader.timezone }} "
        "{{ reader.attributes.nothing.at.all }}.",
    )
    campaign_id = p.start(parts, 3, template=name)
    p.change(parts, 0, attributes={"city": "Kano", "age": "20"}, timezone="Asia/Tokyo")
    p.change(parts, 1, attributes={"age": "9"})
    p.prepare(parts, campaign_id)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert p.texts(transport) == {
        "0": "Adult KANO Asia/Tokyo .\n",
        "1": "NOWHERE Africa/Lagos .\n",
        "2": "NOWHERE Africa/Lagos .\n",
    }
    assert p.variants(parts) == 2


def test_who_changes_their_mind_after_the_planning_gets_what_they_want_now(parts: Parts) -> None:
    campaign_id = p.start(parts, 3, template="digest", topics=TOPICS)
    p.prepare(parts, campaign_id)
    p.change(parts, 1, topics=["culture"])
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert sorted(p.texts(transport)) == ["0", "2"]
    assert b.states(parts)["reader1@readers.test"] == "queued"
    p.prepare(parts, campaign_id)  # as the next tick rings for
    with parts.sessions() as session:
        assert session.scalars(select(WantedVariant)).all() == []
    make_due(parts)
    b.send_all(parts, transport)
    assert stories(p.texts(transport)["1"]) == ["Culture", "the day"]
    assert set(b.states(parts).values()) == {"sent"}


def make_due(parts: Parts) -> None:
    """Let what was put off be due at once."""
    with parts.sessions.begin() as session:
        session.execute(delivery.update().values(next_at=delivery.c.created_at))


@pytest.mark.parametrize(
    "text",
    [
        "{{ 10 // (reader.attributes.age | int) }}",
        "{% if 10 // (reader.attributes.age | int) == 2 %}2{% endif %}",
    ],
)
def test_one_reader_whose_part_cannot_be_worked_out_fails_alone_and_the_report_says_why(
    parts: Parts, text: str
) -> None:
    campaign_id = p.start(parts, 2, template=p.write_template(parts, text=f"Half: {text}"))
    for reader, age in ((0, "5"), (1, "0")):
        p.change(parts, reader, attributes={"age": age})
    p.prepare(parts, campaign_id)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert p.texts(transport) == {"0": "Half: 2\n"}
    assert b.states(parts)["reader1@readers.test"] == "failed"
    assert "cannot be worked out" in reply_to(parts, "reader1@readers.test")


def reply_to(parts: Parts, address: str) -> str:
    """Return what is said of the delivery to this address."""
    with parts.sessions() as session:
        statement = select(delivery.c.last_reply).join(
            Subscriber, Subscriber.id == delivery.c.subscriber_id
        )
        return session.scalar(statement.where(Subscriber.email == address)) or ""


def test_more_than_200_outcomes_pause_the_campaign_and_name_the_condition(
    sqlite_parts: Parts,
) -> None:
    parts = sqlite_parts
    name = p.write_template(
        parts, text="\n{% for x in reader.attributes.tags %}{{ x }}{% endfor %}.", html="<p>x</p>"
    )
    campaign_id = p.start(parts, 205, template=name)
    for reader in range(205):
        p.change(parts, reader, attributes={"tags": [f"t{reader}"]})
    with pytest.raises(Refusal, match=r"own/body\.txt, line 2: reader\.attributes\.tags") as said:
        p.prepare(parts, campaign_id)
    assert "200" in str(said.value)
    assert b.campaign_state(parts, campaign_id) == "paused"
    assert b.states(parts) == {}


def test_the_readers_own_locale_decides_where_its_language_is_written(parts: Parts) -> None:
    name = p.write_template(
        parts, text="{{ newsletter.locale }} {{ newsletter.dir }} {{ reader.locale }}"
    )
    campaign_id = p.start(parts, 3, template=name)
    with parts.sessions.begin() as session:
        session.get_one(Campaign, campaign_id).newsletter.locale = "ar"
    p.change(parts, 1, locale="en-GB")
    p.change(parts, 2, locale="tlh")
    p.prepare(parts, campaign_id)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert p.texts(transport) == {"0": "ar rtl ar\n", "1": "en ltr en-GB\n", "2": "ar rtl tlh\n"}
    languages = {
        envelope.recipient[6]: content.split(b"Content-Language: ")[1].split(b"\r\n")[0]
        for envelope, content in transport.accepted
    }
    assert languages == {"0": b"ar", "1": b"en", "2": b"ar"}


def test_a_preview_shows_what_one_reader_gets_and_without_one_what_everybody_may_see(
    parts: Parts,
) -> None:
    campaign_id = p.start(parts, 2, template="digest", topics=TOPICS)
    p.change(parts, 1, topics=["sport"])
    for prepared in (False, True):
        if prepared:
            p.prepare(parts, campaign_id)
        with parts.sessions() as session:
            campaign = session.get_one(Campaign, campaign_id)
            reader = session.scalars(
                select(Subscriber).where(Subscriber.email == "reader1@readers.test")
            ).one()
            theirs = preview(session, campaign, parts.renderer, now=b.NOW, reader=reader)
            nobodys = preview(session, campaign, parts.renderer, now=b.NOW)
        assert stories(theirs.text) == ["Sport", "the day"]
        assert len(stories(nobodys.text)) == 4


def test_a_retry_chooses_anew(parts: Parts) -> None:
    campaign_id = p.start(parts, 1, template="digest", topics=TOPICS)
    p.change(parts, 0, topics=["sport"])
    p.prepare(parts, campaign_id)
    with parts.sessions.begin() as session:
        session.execute(delivery.update().values(variant_id=999_999))
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert stories(p.texts(transport)["0"]) == ["Sport", "the day"]
    with parts.sessions() as session:
        assert session.scalar(select(delivery.c.variant_id)) != 999_999


def test_a_reader_is_spoken_to_in_their_own_language_and_the_stories_stay_as_they_are(
    parts: Parts,
) -> None:
    campaign_id = p.start(parts, 3, template="digest")
    p.change(parts, 1, locale="ar")
    p.change(parts, 2, locale="pt-BR")
    p.prepare(parts, campaign_id)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert p.variants(parts) == 3
    for envelope, content in transport.accepted:
        locale = {"reader0": "en", "reader1": "ar", "reader2": "pt"}[envelope.recipient[:7]]
        html = p.part(content, "text/html")
        assert f'<html lang="{locale}" dir="{direction(locale)}"' in html
        assert translations(locale).gettext("Unsubscribe with one click") in html
        assert "Story of" in html
        assert f"\r\nContent-Language: {locale}\r\n".encode() in content
