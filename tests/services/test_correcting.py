"""Corrections: nothing with the old content begins once the order is back, and nobody is missed."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import building as b
import personal
import pytest
from processes import until
from sqlalchemy import select, update

from mailer.domain.addresses import parse_address
from mailer.domain.consent import Method
from mailer.domain.deliveries import DeliveryState
from mailer.domain.errors import Refusal
from mailer.domain.rules import Rules
from mailer.services.articles.articles import edit_article
from mailer.services.articles.images import ShownImage
from mailer.services.campaigns.archive import issues_of
from mailer.services.campaigns.correcting import Corrected, correct_campaign
from mailer.services.campaigns.correction_mail import draft_correction
from mailer.services.campaigns.course import (
    CannotCampaign,
    cancel_campaign,
    finish_done,
    pause_campaign,
    resume_campaign,
    start_campaign,
)
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.campaigns.new_content import NewContent
from mailer.services.campaigns.reports import deliveries, reached_by_older, report
from mailer.services.campaigns.seeds import add_seed
from mailer.services.consent.preferences import leave
from mailer.services.digests.digests import Ran, add_digest, begin_run, run_digest
from mailer.services.newsletters.topics import edit_topic
from mailer.store.consents import Evidence
from mailer.store.ledger import Gated, GateRequest, claim, exchange, sources
from mailer.store.models import Article, Campaign, Digest, Newsletter, StoredImage, delivery
from mailer.transports import Unknown
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

LEASE = timedelta(minutes=1)
NEW = NewContent(subject="News, put right", html="<p>It was the third of May.</p>")


def correct(
    parts: Parts,
    campaign_id: int,
    new: NewContent = NEW,
    wait: Callable[[], None] = lambda: time.sleep(0.01),
) -> Corrected:
    """Correct as the command does."""
    return correct_campaign(
        parts.sessions, campaign_id, new, renderer=parts.renderer, now=parts.now, wait=wait
    )


def draft(parts: Parts, campaign_id: int, said: str | None = None) -> int:
    return draft_correction(parts.sessions, campaign_id, said=said, now=parts.now())


def start(parts: Parts, campaign_id: int) -> None:
    with parts.sessions.begin() as session:
        start_campaign(session, session.get_one(Campaign, campaign_id), now=parts.now())
    personal.prepare(parts, campaign_id)


def told(parts: Parts, campaign_id: int) -> dict[str, object]:
    with parts.sessions() as session:
        return report(session, session.get_one(Campaign, campaign_id))


def versions(parts: Parts, campaign_id: int) -> dict[int, dict[str, int]]:
    """Return, by version, what became of its mails, without what did not happen."""
    listed: list[dict[str, dict[str, int]]] = told(parts, campaign_id)["versions"]  # type: ignore[assignment]
    return {
        int(each["version"]): {state: number for state, number in each["counts"].items() if number}  # type: ignore[call-overload]
        for each in listed
    }


def readers_of(transport: MemoryTransport, words: bytes) -> set[str]:
    return {envelope.recipient for envelope, content in transport.accepted if words in content}


def send_first(parts: Parts, number: int, readers: int = 6) -> tuple[int, MemoryTransport]:
    """Return a campaign of which so many readers have the first version, and the others nothing."""
    campaign_id = b.sending_campaign(parts, readers)
    transport = MemoryTransport()
    later = parts.now() + timedelta(hours=1)
    with parts.sessions.begin() as session:
        rows = session.scalars(select(delivery.c.id).order_by(delivery.c.id)).all()
        session.execute(
            update(delivery).where(delivery.c.id.in_(rows[number:])).values(next_at=later)
        )
    b.send_all(parts, transport)
    with parts.sessions.begin() as session:
        session.execute(update(delivery).values(next_at=parts.now()))
    assert len(transport.accepted) == number
    return campaign_id, transport


def test_while_a_sender_runs_nothing_old_begins_after_the_order_is_back(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 300)
    transport = MemoryTransport()
    sender = b.make_sender(parts, transport, connections=4, rate=600.0)
    sender.start()
    try:
        until(lambda: len(transport.accepted) > 20, "the first mails")
        done = correct(parts, campaign_id)
        by_then = len(transport.accepted)
        personal.prepare(parts, campaign_id)
        sender.wake()
        until(lambda: len(transport.accepted) >= 300, "all mails")
        assert sender.idle.wait(20)
    finally:
        sender.stop()
    assert by_then < 300, "there is something to correct"
    assert done.version == 2
    recipients = Counter(envelope.recipient for envelope, _ in transport.accepted)
    assert set(recipients.values()) == {1}
    assert len(recipients) == 300
    old = [b"Subject: News\r\n" in content for _, content in transport.accepted]
    assert not any(old[by_then:])
    assert versions(parts, campaign_id) == {1: {"sent": sum(old)}, 2: {"sent": 300 - sum(old)}}
    with parts.sessions() as session:
        campaign = session.get_one(Campaign, campaign_id)
        rows = deliveries(session, campaign, message_id_of=parts.renderer.message_id)
    assert {row["email"] for row in rows if row["version"] == 1} == readers_of(
        transport, b"Subject: News\r\n"
    )


def test_what_a_worker_holds_is_recalled_and_its_gate_stays_shut(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 3)
    with parts.sessions.begin() as session:
        held = claim(session.connection(), worker="one", limit=3, lease=LEASE)
        first = GateRequest(held[0].id, held[0].period, held[0].fence, held[0].version)
        exchange(session.connection(), [], [first], lease=LEASE)
    began = time.monotonic()
    done = correct(parts, campaign_id, wait=lambda: settle_soon(parts, began))
    assert done.recalled == 2
    personal.prepare(parts, campaign_id)
    assert b.campaign_state(parts, campaign_id) == "sending"
    requests = [GateRequest(each.id, each.period, each.fence, each.version) for each in held[1:]]
    with parts.sessions.begin() as session:
        _, answers = exchange(session.connection(), [], requests, lease=LEASE)
    assert set(answers.values()) == {Gated.LEASE_LOST}
    assert versions(parts, campaign_id) == {1: {"sent": 1}, 2: {}}


def settle_soon(parts: Parts, began: float) -> None:
    """Be the worker whose mail was past its gate, and took a moment."""
    time.sleep(0.01)
    if time.monotonic() > began + 0.2:
        with parts.sessions.begin() as session:
            past = delivery.c.state == DeliveryState.SENDING.value
            session.execute(update(delivery).where(past).values(state="sent"))


def test_a_claim_that_knew_the_old_content_only_is_shut_out_at_the_gate(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 1)
    with parts.sessions() as session:
        before = [each for each in sources(session.connection()) if each.campaign_id]
    correct(parts, campaign_id)
    personal.prepare(parts, campaign_id)
    with parts.sessions.begin() as session:
        late = claim(session.connection(), worker="one", limit=1, lease=LEASE, among=before)[0]
    request = GateRequest(late.id, late.period, late.fence, late.version)
    with parts.sessions.begin() as session:
        _, answers = exchange(session.connection(), [], [request], lease=LEASE)
    assert list(answers.values()) == [Gated.CLOSED]
    assert b.states(parts) == {"reader0@readers.test": "queued"}
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert readers_of(transport, b"Subject: News, put right") == {"reader0@readers.test"}


def test_who_compiles_or_plans_the_old_content_meanwhile_begins_again(
    sqlite_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = personal.start(sqlite_parts, 3, template="announcement")
    compiles: Callable[..., object] = sqlite_parts.renderer.campaign_message
    calls = 0

    def overtaken(*args: object, **more: object) -> object:
        nonlocal calls
        made = compiles(*args, **more)
        calls += 1
        if calls == 1:
            correct(sqlite_parts, campaign_id)
        return made

    monkeypatch.setattr(sqlite_parts.renderer, "campaign_message", overtaken)
    assert personal.prepare(sqlite_parts, campaign_id) == 0
    assert b.campaign_state(sqlite_parts, campaign_id) == "preparing"
    assert personal.prepare(sqlite_parts, campaign_id) == 3
    transport = MemoryTransport()
    b.send_all(sqlite_parts, transport)
    assert len(readers_of(transport, b"Subject: News, put right")) == 3


def test_mails_that_differ_by_reader_are_compiled_anew_for_all_who_remain(
    sqlite_parts: Parts,
) -> None:
    template = personal.write_template(
        sqlite_parts, text="{{ campaign.subject }}, {% if reader.locale == 'fr' %}vous{% else %}you"
        "{% endif %}",
    )  # fmt: skip
    campaign_id = personal.start(sqlite_parts, 4, template=template)
    personal.change(sqlite_parts, 0, locale="fr")
    personal.prepare(sqlite_parts, campaign_id)
    transport = MemoryTransport()
    correct(sqlite_parts, campaign_id, NewContent(subject="Put right"))
    personal.prepare(sqlite_parts, campaign_id)
    personal.change(sqlite_parts, 1, locale="ar")  # nobody has come out so before
    sender = b.make_sender(sqlite_parts, transport)
    sender.start()
    try:
        until(lambda: len(transport.accepted) == 3, "those that were compiled ahead")
        personal.prepare(sqlite_parts, campaign_id)
        until(lambda: len(transport.accepted) == 4, "the one that changed")
    finally:
        sender.stop()
    said = personal.texts(transport)
    assert said["0"].strip() == "Put right, vous"
    assert {said[each].strip() for each in "123"} == {"Put right, you"}


def test_a_paused_one_stays_paused_and_goes_on_corrected(sqlite_parts: Parts) -> None:
    campaign_id, transport = send_first(sqlite_parts, 2)
    with sqlite_parts.sessions.begin() as session:
        pause_campaign(session, session.get_one(Campaign, campaign_id))
    correct(sqlite_parts, campaign_id)
    assert b.campaign_state(sqlite_parts, campaign_id) == "paused"
    with sqlite_parts.sessions.begin() as session:
        resume_campaign(session, session.get_one(Campaign, campaign_id), now=sqlite_parts.now())
    personal.prepare(sqlite_parts, campaign_id)
    b.send_all(sqlite_parts, transport)
    assert versions(sqlite_parts, campaign_id) == {1: {"sent": 2}, 2: {"sent": 4}}


def test_what_cannot_be_corrected_says_why_and_changes_nothing(sqlite_parts: Parts) -> None:
    campaign_id = b.sending_campaign(sqlite_parts, 2)
    with pytest.raises(CannotCampaign, match="holds that already"):
        correct(sqlite_parts, campaign_id, NewContent(subject="News"))
    with pytest.raises(CannotCampaign, match="has not been corrected"):
        draft(sqlite_parts, campaign_id)
    with pytest.raises(Exception, match="no template"):
        correct(sqlite_parts, campaign_id, NewContent(template="no-such-template"))
    with sqlite_parts.sessions.begin() as session:
        cancel_campaign(session, session.get_one(Campaign, campaign_id), now=sqlite_parts.now())
    with pytest.raises(CannotCampaign, match="is cancelled and has reached nobody"):
        correct(sqlite_parts, campaign_id)
    assert told(sqlite_parts, campaign_id)["version"] == 1


def test_a_draft_is_replaced_without_a_word_about_it(sqlite_parts: Parts) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(sqlite_parts, session, made, 1)
        campaign_id = create_campaign(
            session,
            made,
            purpose="updates",
            subject="News",
            html="<p>Wrong.</p>",
            now=sqlite_parts.now(),
        ).id
    with pytest.raises(CannotCampaign, match="nobody to tell"):
        correct(sqlite_parts, campaign_id, NewContent(subject="Other", note="The date."))
    correct(sqlite_parts, campaign_id)
    start(sqlite_parts, campaign_id)
    transport = MemoryTransport()
    b.send_all(sqlite_parts, transport)
    text = personal.texts(transport)["0"]
    assert "It was the third of May." in text
    assert "orrect" not in text


def test_what_begins_while_it_is_corrected_is_corrected_as_what_has_begun(
    sqlite_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(sqlite_parts, session, made, 1)
        campaign_id = create_campaign(
            session, made, purpose="updates", subject="News", html="<p>x</p>",
            now=sqlite_parts.now(),
        ).id  # fmt: skip
    compiles: Callable[..., object] = sqlite_parts.renderer.campaign_message
    calls = 0

    def begins(*args: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        made = compiles(*args, **more)
        if calls == 1:
            start(sqlite_parts, campaign_id)
        return made

    monkeypatch.setattr(sqlite_parts.renderer, "campaign_message", begins)
    correct(sqlite_parts, campaign_id)
    with sqlite_parts.sessions() as session:
        content = session.get_one(Campaign, campaign_id).content
    assert (content["topics"], content["correction"]["note"]) == ([], "")


def test_the_mail_and_its_page_say_when_it_was_corrected_and_what_was_wrong(
    sqlite_parts: Parts,
) -> None:
    campaign_id, transport = send_first(sqlite_parts, 1, 2)
    correct(sqlite_parts, campaign_id, NewContent(html="<p>Right.</p>", note="The date was wrong."))
    personal.prepare(sqlite_parts, campaign_id)
    b.send_all(sqlite_parts, transport)
    with sqlite_parts.sessions() as session:
        campaign = session.get_one(Campaign, campaign_id)
        page = sqlite_parts.renderer.sent_message(session, campaign).preview_html(
            sqlite_parts.renderer.sample_values(
                email="r@readers.test", newsletter=campaign.newsletter, now=sqlite_parts.now()
            )
        )
    for shown in (page, personal.part(transport.accepted[1][1], "text/plain")):
        assert "Corrected on " in shown
        assert "The date was wrong." in shown
        assert "Right." in shown
        assert "earlier version" not in shown
    assert "Story 0" in personal.part(transport.accepted[0][1], "text/plain")


def test_its_own_articles_are_copied_anew(sqlite_parts: Parts) -> None:
    campaign_id = b.sending_campaign(sqlite_parts, 1)
    with sqlite_parts.sessions.begin() as session:
        first = session.scalars(select(Article).order_by(Article.id)).first()
        assert first is not None
        edit_article(session, first, {"title": "What really happened"})
    correct(sqlite_parts, campaign_id, NewContent(refresh=True))
    with sqlite_parts.sessions() as session:
        campaign = session.get_one(Campaign, campaign_id)
        titles = [each["title"] for each in campaign.content["articles"]]
        assert (titles, campaign.preheader) == (["What really happened", "Story 1"], "Story 1")


def test_a_story_that_a_correction_brings_into_a_digest_is_not_sent_again_by_the_next(
    sqlite_parts: Parts,
) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(sqlite_parts, session, made, 1)
        b.articles(session, made, 4)
        digest_id = add_digest(
            session, made, slug="friday", purpose="updates", cron="0 7 * * FRI",
            rules=Rules(max_articles=2), renderer=sqlite_parts.renderer, now=b.NOW,
        ).id  # fmt: skip

    def run() -> list[int]:
        with sqlite_parts.sessions.begin() as session:
            ran = run_digest(session, begin_run(session.get_one(Digest, digest_id)), now=b.NOW)
            assert isinstance(ran, Ran)
            return [ran.campaign.id, *(each["id"] for each in ran.campaign.content["articles"])]

    campaign_id, first, second = run()
    correct(sqlite_parts, campaign_id, NewContent(article_ids=[first, second + 1]))
    assert run()[1:] == [second + 2]


def test_a_correction_mail_goes_to_exactly_those_who_have_or_may_have_the_wrong_one(
    parts: Parts,
) -> None:
    campaign_id = b.sending_campaign(parts, 6)
    lost = Unknown("the connection is gone")
    first = MemoryTransport(script={"reader1@readers.test": [lost]})
    later = parts.now() + timedelta(hours=1)
    with parts.sessions.begin() as session:
        rows = session.scalars(select(delivery.c.id).order_by(delivery.c.id)).all()
        waits = delivery.c.id.in_(rows[4:])
        session.execute(update(delivery).where(waits).values(next_at=later))
    b.send_all(parts, first)
    with parts.sessions.begin() as session:
        session.execute(update(delivery).where(delivery.c.id.in_(rows[4:])).values(next_at=b.NOW))
    correct(parts, campaign_id)
    assert reached_by_older(told(parts, campaign_id)) == (3, 1)
    personal.prepare(parts, campaign_id)
    b.send_all(parts, MemoryTransport())
    with parts.sessions.begin() as session:
        finish_done(session, now=parts.now())
        token = parts.links.unsubscribe(1, 1).rpartition("/")[2]
        assert leave(session, parts.signer, token, Evidence(Method.ONE_CLICK), now=parts.now())
    correction = draft(parts, campaign_id, "The date was wrong.")
    with pytest.raises(CannotCampaign, match=f"Campaign {correction} corrects campaign"):
        draft(parts, campaign_id)
    assert told(parts, correction)["audience"] == 3
    start(parts, correction)
    second = MemoryTransport()
    b.send_all(parts, second)
    wanted = {f"reader{number}@readers.test" for number in (1, 2, 3)}
    assert readers_of(second, b"Subject: Correction: News, put right\r\n") == wanted
    text = personal.part(second.accepted[0][1], "text/plain")
    assert "Correction: An earlier version of this mail" in text
    assert "The date was wrong." in text
    assert "It was the third of May." in text
    with parts.sessions.begin() as session:
        finish_done(session, now=parts.now())
    with pytest.raises(CannotCampaign, match="nobody to tell"):
        draft(parts, campaign_id)


def test_what_is_corrected_again_stops_the_mail_that_told_of_it_and_all_are_told_anew(
    sqlite_parts: Parts,
) -> None:
    campaign_id, transport = send_first(sqlite_parts, 3, 3)
    correct(sqlite_parts, campaign_id)
    first = draft(sqlite_parts, campaign_id)
    start(sqlite_parts, first)
    done = correct(sqlite_parts, campaign_id, NewContent(subject="At last"))
    assert done.stopped == (first,)
    assert b.campaign_state(sqlite_parts, first) == "cancelled"
    second = draft(sqlite_parts, campaign_id)
    start(sqlite_parts, second)
    with sqlite_parts.sessions() as session:
        newsletter = session.scalars(select(Newsletter)).one()
        listed = issues_of(session, newsletter, sqlite_parts.links, limit=9)
    assert [issue.subject for issue in listed] == ["At last"], "its own page is the corrected one"
    b.send_all(sqlite_parts, transport)
    assert len(readers_of(transport, b"Subject: Correction: At last")) == 3
    assert len(transport.accepted) == 6
    correct(sqlite_parts, second, NewContent(html="<p>It was the fourth of May.</p>"))
    assert told(sqlite_parts, draft(sqlite_parts, second))["subject"] == "Correction: At last"


def test_seeds_get_what_was_corrected_too(sqlite_parts: Parts) -> None:
    campaign_id, transport = send_first(sqlite_parts, 1, 2)
    with sqlite_parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        desk = parse_address("desk@news.test")
        add_seed(session, made, desk, sqlite_parts.suppression_key, now=sqlite_parts.now())
    correct(sqlite_parts, campaign_id)
    personal.prepare(sqlite_parts, campaign_id)
    b.send_all(sqlite_parts, transport)
    assert "desk@news.test" in readers_of(transport, b"Subject: News, put right")


def test_new_content_with_errors_is_held_and_what_readers_have_stays_known(
    sqlite_parts: Parts,
) -> None:
    campaign_id, transport = send_first(sqlite_parts, 2, 4)
    template = personal.write_template(sqlite_parts)
    for part in ("body.html", "body.txt"):
        (sqlite_parts.settings.home / "templates" / template / part).write_text("<p>No link.</p>")
    correct(sqlite_parts, campaign_id, NewContent(template=template))
    with pytest.raises(Refusal, match=r"is held. .*no link to leave"):
        personal.prepare(sqlite_parts, campaign_id)
    b.send_all(sqlite_parts, transport)
    assert versions(sqlite_parts, campaign_id) == {1: {"sent": 2}, 2: {}}
    with sqlite_parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        resume_campaign(session, campaign, now=sqlite_parts.now())
        campaign.checked_at = sqlite_parts.now()  # by force
    personal.prepare(sqlite_parts, campaign_id)
    correct(sqlite_parts, campaign_id, NewContent(template="announcement", subject="Put right"))
    personal.prepare(sqlite_parts, campaign_id)
    b.send_all(sqlite_parts, transport)
    assert versions(sqlite_parts, campaign_id) == {1: {"sent": 2}, 2: {}, 3: {"sent": 2}}


def test_a_template_that_is_mended_counts_for_what_was_corrected_while_it_was_held(
    sqlite_parts: Parts,
) -> None:
    campaign_id, transport = send_first(sqlite_parts, 2, 4)
    template = personal.write_template(sqlite_parts)
    body = sqlite_parts.settings.home / "templates" / template / "body.html"
    mended = body.read_text("utf-8")
    body.write_text("<p>No link.</p>", "utf-8")
    correct(sqlite_parts, campaign_id, NewContent(template=template))
    with pytest.raises(Refusal, match="is held"):
        personal.prepare(sqlite_parts, campaign_id)
    correct(sqlite_parts, campaign_id, NewContent(subject="Put right"))
    body.write_text(mended, "utf-8")
    with sqlite_parts.sessions.begin() as session:
        resume_campaign(session, session.get_one(Campaign, campaign_id), now=sqlite_parts.now())
    personal.prepare(sqlite_parts, campaign_id)
    b.send_all(sqlite_parts, transport)
    assert versions(sqlite_parts, campaign_id) == {1: {"sent": 2}, 2: {}, 3: {"sent": 2}}


def test_the_images_of_mails_that_have_gone_are_kept_beside_the_new_ones(
    sqlite_parts: Parts,
) -> None:
    campaign_id, _ = send_first(sqlite_parts, 1, 1)
    address = "https://news.test/new.jpg"
    with sqlite_parts.sessions.begin() as session:
        old, new = (
            StoredImage(
                sha256=each * 64, body=b"x", media_type="image/jpeg", width=600, height=300,
                source=address, fetched_at=sqlite_parts.now(),
            )
            for each in "ab"
        )  # fmt: skip
        session.add_all([old, new])
        session.get_one(Campaign, campaign_id).images = [old]
        first = session.scalars(select(Article).order_by(Article.id)).first()
        assert first is not None
        first.image = {"url": address, "alt": "A fair", "caption": "", "credit": ""}
    file = f"{'b' * 64}.jpg"
    shown = {address: ShownImage({"file": file}, 600, 300, "b" * 64)}
    correct(sqlite_parts, campaign_id, NewContent(refresh=True, images=shown))
    correction = draft(sqlite_parts, campaign_id)
    with sqlite_parts.sessions() as session:
        for number in (campaign_id, correction):
            campaign = session.get_one(Campaign, number)
            assert {each.sha256[0] for each in campaign.images} == {"a", "b"}
            assert campaign.content["articles"][0]["image"]["file"] == file


def test_a_topic_that_is_renamed_while_it_is_sent_has_one_name_in_all_mails(
    sqlite_parts: Parts,
) -> None:
    template = personal.write_template(
        sqlite_parts, text="{% for topic in topics %}{{ topic.label }}{% endfor %} "
        "{{ 'oui' if decided(reader.locale == 'fr') else 'no' }}",
    )  # fmt: skip
    campaign_id = personal.start(sqlite_parts, 2, template=template, topics=("politics",))
    personal.prepare(sqlite_parts, campaign_id)
    with sqlite_parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        edit_topic(session, made, "politics", labels={"en": "Power"})
    personal.change(sqlite_parts, 0, locale="fr")
    transport = MemoryTransport()
    sender = b.make_sender(sqlite_parts, transport)
    sender.start()
    try:
        until(lambda: len(transport.accepted) == 1, "the one that is compiled")
        personal.prepare(sqlite_parts, campaign_id)
        until(lambda: len(transport.accepted) == 2, "the one that changed")
    finally:
        sender.stop()
    said = {text.strip() for text in personal.texts(transport).values()}
    assert said == {"Politics oui", "Politics no"}
