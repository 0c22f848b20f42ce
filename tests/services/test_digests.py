"""Digests: an article once, a run once, and nothing half-made."""

from datetime import UTC, datetime, timedelta

import building as b
import pytest
from sqlalchemy import func, select

from mailer.domain.articles import ArticleDraft
from mailer.domain.rules import Rules
from mailer.feeds import Fetched, FetchError
from mailer.services.articles.articles import add_article, edit_article, remove_article
from mailer.services.articles.feeds import add_feed, fetch_feeds
from mailer.services.digests.digests import (
    Ran,
    Skipped,
    add_digest,
    begin_due_runs,
    begin_run,
    pause_digest,
    run_digest,
)
from mailer.services.digests.selecting import preview_digest
from mailer.services.operations.tick import run_due_digests, tick
from mailer.store.models import Article, Campaign, Digest, DigestArticle, Feed, Newsletter
from mailer.wiring import Parts

RSS = b"""<rss version="2.0"><channel><title>Desk</title>
<item><title>One</title><link>https://news.test/one?utm_source=rss</link>
<description>&lt;p&gt;First &lt;script&gt;x&lt;/script&gt;words.&lt;/p&gt;</description></item>
<item><title>Two</title><link>https://news.test/two</link></item>
<item><title>No link</title></item></channel></rss>"""


def digest(parts: Parts, number_of_articles: int = 5, max_articles: int = 3) -> int:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 2)
        b.articles(session, made, number_of_articles)
        return add_digest(
            session, made, slug="friday", purpose="updates", cron="0 7 * * FRI",
            rules=Rules(max_articles=max_articles), renderer=parts.renderer, now=b.NOW,
        ).id  # fmt: skip


def run(parts: Parts, digest_id: int) -> Ran | Skipped | None:
    with parts.sessions.begin() as session:
        return run_digest(session, begin_run(session.get_one(Digest, digest_id)), now=b.NOW)


def test_every_article_is_in_a_digest_once_and_none_is_missed(parts: Parts) -> None:
    digest_id = digest(parts)
    first, second, third = (run(parts, digest_id) for _ in range(3))
    assert isinstance(first, Ran)
    assert isinstance(second, Ran)
    titles = [
        [article["title"] for article in ran.campaign.content["articles"]]
        for ran in (first, second)
    ]
    assert titles == [["Story 0", "Story 1", "Story 2"], ["Story 3", "Story 4"]]
    assert first.campaign.subject == "The Weekly: Story 0"
    assert third == Skipped("there is no new article")
    with parts.sessions() as session:
        assert session.get_one(Digest, digest_id).last_outcome == "there is no new article"
        assert session.scalar(select(func.count()).select_from(DigestArticle)) == 5


def test_of_two_who_begin_the_same_run_one_makes_it(parts: Parts) -> None:
    digest_id = digest(parts)
    with parts.sessions() as session:
        by_hand = [begin_run(session.get_one(Digest, digest_id)) for _ in range(2)]
    outcomes = []
    for occasion in by_hand:
        with parts.sessions.begin() as session:
            outcomes.append(run_digest(session, occasion, now=b.NOW))
    assert isinstance(outcomes[0], Ran)
    assert outcomes[1] is None


def test_a_digest_is_run_once_however_many_ticks_come_while_its_feeds_are_read(
    parts: Parts,
) -> None:
    digest_id = digest(parts, number_of_articles=9)
    with parts.sessions.begin() as session:
        session.get_one(Digest, digest_id).next_run_at = b.NOW
        add_feed(session, session.scalars(select(Newsletter)).one(), "https://slow.test/rss")
    ticks = 0

    def slow(url: str, *, etag: str = "", last_modified: str = "") -> Fetched:
        nonlocal ticks
        ticks += 1
        if ticks == 1:
            assert not tick(parts.sessions, now=lambda: b.NOW).digests
            assert (
                run_due_digests(parts.sessions, fetch=slow, images=parts.images, now=lambda: b.NOW)
                == 0
            )
            later = b.NOW + timedelta(minutes=3)  # the first worker is taken for dead
            assert (
                run_due_digests(parts.sessions, fetch=slow, images=parts.images, now=lambda: later)
                == 1
            )
        raise FetchError("It is slow.")

    assert tick(parts.sessions, now=lambda: b.NOW).digests
    assert run_due_digests(parts.sessions, fetch=slow, images=parts.images, now=lambda: b.NOW) == 0
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Campaign)) == 1


def test_a_digest_that_is_paused_while_its_feeds_are_read_does_not_run(parts: Parts) -> None:
    digest_id = digest(parts)
    with parts.sessions.begin() as session:
        session.get_one(Digest, digest_id).next_run_at = b.NOW
        [occasion] = begin_due_runs(session, now=b.NOW)
    with parts.sessions.begin() as session:
        pause_digest(session, session.get_one(Digest, digest_id))
    with parts.sessions.begin() as session:
        assert run_digest(session, occasion, now=b.NOW) is None


def test_a_tick_makes_up_for_one_missed_run_and_for_none_that_is_stale(parts: Parts) -> None:
    digest_id = digest(parts)

    def after(hours: float) -> int:
        with parts.sessions.begin() as session:
            session.get_one(Digest, digest_id).next_run_at = b.NOW - timedelta(hours=hours)
        run_due_digests(
            parts.sessions, fetch=b.out_of_reach, images=parts.images, now=lambda: b.NOW
        )
        with parts.sessions() as session:
            return session.scalar(select(func.count()).select_from(Campaign)) or 0

    assert after(hours=30) == 0
    assert after(hours=2) == 1
    run_due_digests(parts.sessions, fetch=b.out_of_reach, images=parts.images, now=lambda: b.NOW)
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Campaign)) == 1
        assert session.get_one(Digest, digest_id).next_run_at > b.NOW


def test_a_feed_gives_articles_once_and_a_broken_one_stops_no_other(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        add_feed(session, made, "https://broken.test/rss")
        add_feed(session, made, "https://news.test/rss")
        newsletter_id = made.id

    def fetch(url: str, *, etag: str = "", last_modified: str = "") -> Fetched:
        if "broken" in url:
            raise FetchError("It is out of reach.")
        return Fetched(url, RSS, "application/rss+xml", "", "")

    for added, known in ((2, 0), (0, 2)):
        broken, fine = fetch_feeds(
            parts.sessions, newsletter_id=newsletter_id, fetch=fetch, now=parts.now
        )
        assert broken.error == "It is out of reach."
        assert (fine.added, fine.known, len(fine.skipped)) == (added, known, 1)
    with parts.sessions() as session:
        found = session.scalars(select(Article).order_by(Article.title)).all()
        assert [article.canonical_url for article in found] == [
            "https://news.test/one", "https://news.test/two",
        ]  # fmt: skip
        assert found[0].summary == "First words."


def test_a_preview_names_the_articles_and_uses_none(parts: Parts) -> None:
    digest_id = digest(parts)
    for _ in range(2):
        with parts.sessions.begin() as session:
            found = preview_digest(session, session.get_one(Digest, digest_id), now=b.NOW)
            assert [article.title for article in found.chosen] == ["Story 0", "Story 1", "Story 2"]
    with parts.sessions() as session:
        assert session.scalars(select(Newsletter)).one().slug == "weekly"


def test_a_clock_that_goes_back_runs_a_digest_once(parts: Parts) -> None:
    digest_id = digest(parts, number_of_articles=20)
    with parts.sessions.begin() as session:
        rule = session.get_one(Digest, digest_id)
        rule.cron, rule.timezone = "30 1 * * *", "Europe/London"
        rule.next_run_at = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
        for article in session.scalars(select(Article)):
            article.published_at = None
    for second in range(5):  # in the hour that comes for the second time
        moment = datetime(2026, 10, 25, 1, 5, second, tzinfo=UTC)
        run_due_digests(
            parts.sessions,
            fetch=b.out_of_reach,
            images=parts.images,
            now=lambda moment=moment: moment,
        )
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Campaign)) == 1


def test_a_digest_that_failed_for_days_does_not_go_out_when_it_is_mended(parts: Parts) -> None:
    digest_id = digest(parts)
    with parts.sessions.begin() as session:
        session.get_one(Digest, digest_id).next_run_at = b.NOW
        session.scalars(select(Newsletter)).one().postal_address = ""

    def hours_later(hours: int) -> str:
        moment = b.NOW + timedelta(hours=hours)
        run_due_digests(
            parts.sessions, fetch=b.out_of_reach, images=parts.images, now=lambda: moment
        )
        with parts.sessions() as session:
            return session.get_one(Digest, digest_id).last_outcome

    assert "postal address" in hours_later(1)
    with parts.sessions.begin() as session:
        session.scalars(select(Newsletter)).one().postal_address = "1 Road"
    assert "the time passed" in hours_later(50)


def test_what_an_editor_corrected_or_removed_stays_so_when_the_feed_is_read_again(
    parts: Parts,
) -> None:
    digest_id = digest(parts, number_of_articles=3)
    again = [
        ArticleDraft(canonical_url=f"https://news.test/{number}", title=f"Story {number}")
        for number in range(3)
    ]
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        feed = add_feed(session, made, "https://news.test/rss")
        first, second, _ = session.scalars(select(Article).order_by(Article.id))
        edit_article(session, first, {"title": "Corrected"})
        remove_article(second, now=b.NOW)
        session.flush()
        for article in again:
            add_article(session, made, article, feed_id=feed.id, now=b.NOW)
    ran = run(parts, digest_id)
    assert isinstance(ran, Ran)
    titles = [article["title"] for article in ran.campaign.content["articles"]]
    assert titles == ["Corrected", "Story 2"]
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        add_article(session, made, again[1], now=b.NOW)  # by hand
    ran = run(parts, digest_id)
    assert isinstance(ran, Ran)
    assert [article["title"] for article in ran.campaign.content["articles"]] == ["Story 1"]


def test_a_story_that_is_dated_ahead_waits_for_its_time(parts: Parts) -> None:
    digest_id = digest(parts, number_of_articles=1)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        embargoed = ArticleDraft(
            canonical_url="https://news.test/ahead", title="Ahead",
            published_at=b.NOW + timedelta(days=2),
        )  # fmt: skip
        add_article(session, made, embargoed, now=b.NOW)
        rule = session.get_one(Digest, digest_id)
        assert [each.title for each in preview_digest(session, rule, now=b.NOW).chosen] == [
            "Story 0"
        ]
        later = b.NOW + timedelta(days=3)
        assert [each.title for each in preview_digest(session, rule, now=later).chosen] == [
            "Ahead", "Story 0",
        ]  # fmt: skip


def test_a_feed_that_breaks_our_reader_stops_neither_its_digest_nor_anything_else(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest_id = digest(parts)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        feed_id = add_feed(session, made, "https://broken.test/rss").id
        session.get_one(Digest, digest_id).next_run_at = b.NOW

    def broken(url: str, *, etag: str = "", last_modified: str = "") -> Fetched:
        raise RuntimeError("a bug of ours")

    assert (
        run_due_digests(parts.sessions, fetch=broken, images=parts.images, now=lambda: b.NOW) == 1
    )
    with parts.sessions() as session:
        assert "RuntimeError" in session.get_one(Feed, feed_id).last_error
