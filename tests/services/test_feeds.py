"""Feeds: their health, how often they are asked, and whose articles theirs are."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import format_datetime

import building as b
import pytest
from sqlalchemy import select

from mailer.domain.errors import Refusal
from mailer.domain.feed_health import wait_after_failures
from mailer.domain.rules import Rules
from mailer.feeds import Fetched, FetchError, NotModified
from mailer.services.articles.feeds import (
    add_feed,
    article_counts,
    broken_feeds,
    edit_feed,
    fetch_feeds,
    find_feed,
    list_feeds,
    remove_feed,
)
from mailer.services.digests.digests import add_digest, begin_run, run_digest
from mailer.services.digests.selecting import preview_digest
from mailer.services.operations.tick import read_feeds, tick
from mailer.store.halting import halt
from mailer.store.models import Article, Feed, Newsletter
from mailer.wiring import Parts

ONE, OTHER = "https://one.test/rss", "https://other.test/rss"


def rss(title: str, *items: tuple[str, str]) -> bytes:
    """Write a feed of (title, address)."""
    entries = "".join(
        f"<item><title>{name}</title><link>{link}</link>"
        f"<pubDate>{format_datetime(b.NOW - timedelta(hours=1))}</pubDate></item>"
        for name, link in items
    )
    return f'<rss version="2.0"><channel><title>{title}</title>{entries}</channel></rss>'.encode()


class Web:
    """Pages that a test changes, and who asked for them."""

    def __init__(self, **pages: bytes | FetchError) -> None:
        self.pages: dict[str, bytes | FetchError] = dict(pages)
        self.asked: list[tuple[str, str]] = []

    def __call__(
        self, url: str, *, etag: str = "", last_modified: str = ""
    ) -> Fetched | NotModified:
        self.asked.append((url, etag))
        page = self.pages[url]
        if isinstance(page, FetchError):
            raise page
        tag = f'"{hash(page)}"'
        return NotModified() if etag == tag else Fetched(url, page, "text/xml", tag, "")


def feeds(parts: Parts, *locations: str) -> int:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        for location in locations:
            add_feed(session, made, location)
        return made.id


def test_a_feed_that_fails_is_left_alone_longer_each_time_and_found_again(parts: Parts) -> None:
    feeds(parts, ONE)
    web = Web(**{ONE: FetchError("It is down.")})
    now = b.NOW
    waits = []
    for _ in range(12):
        read_feeds(parts.sessions, fetch=web, now=lambda moment=now: moment)
        with parts.sessions() as session:
            feed = session.scalars(select(Feed)).one()
            assert feed.next_read_at
            waits.append(feed.next_read_at - now)
        before = len(web.asked)
        almost = feed.next_read_at - timedelta(seconds=1)
        read_feeds(parts.sessions, fetch=web, now=lambda moment=almost: moment)
        assert len(web.asked) == before, "asked before its time"
        now = feed.next_read_at
    minutes = [wait // timedelta(minutes=1) for wait in waits]
    assert minutes == [5, 10, 20, 40, 80, 160, 320, 640, 720, 720, 720, 720]
    with parts.sessions() as session:
        (broken,) = broken_feeds(session, now=now)
        assert (broken["location"], broken["failing_since"]) == (ONE, b.NOW)
        assert broken_feeds(session, now=b.NOW + timedelta(hours=23)) == []

    web.pages[ONE] = rss("One", ("A story", "https://one.test/a"))
    assert read_feeds(parts.sessions, fetch=web, now=lambda: now) == 1
    with parts.sessions() as session:
        feed = session.scalars(select(Feed)).one()
        assert (feed.failures, feed.failing_since, feed.last_error) == (0, None, "")
        assert feed.last_error_at, "when it failed last stays known"
        assert broken_feeds(session, now=now) == []


def test_a_site_that_asks_for_time_is_given_it() -> None:
    assert wait_after_failures(1, timedelta(hours=3)) == timedelta(hours=3)
    assert wait_after_failures(9, timedelta(minutes=1)) == timedelta(hours=12)


def test_a_tick_says_that_feeds_are_due_and_one_worker_reads_each(parts: Parts) -> None:
    feeds(parts, ONE)
    web = Web(**{ONE: rss("One", ("A story", "https://one.test/a"))})

    def at_once(url: str, *, etag: str = "", last_modified: str = "") -> Fetched | NotModified:
        if not web.asked:
            web.asked.append((url, etag))
            assert read_feeds(parts.sessions, fetch=web, now=lambda: b.NOW) == 0
        return web(url, etag=etag)

    assert tick(parts.sessions, now=lambda: b.NOW).feeds
    assert read_feeds(parts.sessions, fetch=at_once, now=lambda: b.NOW) == 1
    assert len(web.asked) == 2
    assert not tick(parts.sessions, now=lambda: b.NOW).feeds
    later = b.NOW + timedelta(minutes=31)
    assert tick(parts.sessions, now=lambda: later).feeds
    assert read_feeds(parts.sessions, fetch=web, now=lambda: later) == 0
    assert web.asked[-1][1], "it is asked whether anything has changed"


def test_two_digests_at_the_same_time_read_a_feed_once_and_a_person_reads_it_anyway(
    parts: Parts,
) -> None:
    newsletter_id = feeds(parts, ONE, OTHER)
    web = Web(**{ONE: rss("One"), OTHER: FetchError("It is down.")})

    def read(*, spare: bool, at: datetime) -> int:
        before = len(web.asked)
        fetch_feeds(
            parts.sessions, newsletter_id=newsletter_id, fetch=web, now=lambda: at, spare=spare
        )
        return len(web.asked) - before

    assert read(spare=True, at=b.NOW) == 2
    assert read(spare=True, at=b.NOW + timedelta(seconds=30)) == 0
    assert read(spare=True, at=b.NOW + timedelta(minutes=2)) == 1, "the one that is well"
    assert read(spare=False, at=b.NOW + timedelta(minutes=2)) == 2


def test_an_article_of_two_feeds_is_one_and_names_both(parts: Parts) -> None:
    newsletter_id = feeds(parts, ONE, OTHER)
    web = Web(
        **{
            ONE: rss("One", ("The harbour opens", "https://news.test/a?utm_source=one")),
            OTHER: rss("Other", ("The harbour opens", "https://news.test/a?fbclid=2")),
        }
    )
    reports = fetch_feeds(parts.sessions, newsletter_id=newsletter_id, fetch=web, now=lambda: b.NOW)
    assert [(read.added, read.known) for read in reports] == [(1, 0), (0, 1)]
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        article = session.scalars(select(Article)).one()
        assert article_counts(session, list_feeds(session)) == {1: 1, 2: 1}
        digest = add_digest(
            session, made, slug="friday", purpose="updates", cron="0 7 * * FRI",
            renderer=parts.renderer, now=b.NOW,
        )  # fmt: skip
        ran = run_digest(session, begin_run(digest), now=b.NOW)
        (frozen,) = ran.campaign.content["articles"]
        assert [source["name"] for source in frozen["sources"]] == ["One", "Other"]
        remove_feed(session, made, ONE)
        session.expire_all()
        assert article.feed_id == 2, "it is the other feed's from now on"


def test_an_article_that_changes_is_brought_up_to_date_and_not_sent_again(parts: Parts) -> None:
    newsletter_id = feeds(parts, ONE)
    web = Web(**{ONE: rss("One", ("The harbour opens", "https://news.test/a"))})
    fetch_feeds(parts.sessions, newsletter_id=newsletter_id, fetch=web, now=lambda: b.NOW)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        digest = add_digest(
            session, made, slug="friday", purpose="updates", cron="0 7 * * FRI",
            renderer=parts.renderer, now=b.NOW,
        )  # fmt: skip
        run_digest(session, begin_run(digest), now=b.NOW)
    web.pages[ONE] = rss("One", ("The harbour stays shut", "https://news.test/a"))
    later = b.NOW + timedelta(hours=2)
    (read,) = fetch_feeds(parts.sessions, newsletter_id=newsletter_id, fetch=web, now=lambda: later)
    assert (read.added, read.updated, read.known) == (0, 1, 0)
    with parts.sessions.begin() as session:
        digest = session.merge(digest)
        (line,) = preview_digest(session, digest, now=later).lines
        assert line.article.title == "The harbour stays shut"
        sent = f"sent on {b.NOW:%Y-%m-%d} in campaign 1"
        assert line.why == f"{sent}, updated since: it is not sent again"
        assert run_digest(session, begin_run(digest), now=later).reason == "there is no new article"


def test_a_feed_has_a_name_and_a_section_of_the_operators_choice(parts: Parts) -> None:
    newsletter_id = feeds(parts, ONE)
    web = Web(**{ONE: rss("One – RSS – All Posts", ("A story", "https://one.test/a"))})
    fetch_feeds(parts.sessions, newsletter_id=newsletter_id, fetch=web, now=lambda: b.NOW)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        edit_feed(session, find_feed(session, made, ONE), {"name": "One", "section": "Sport"})
        assert session.scalars(select(Article)).one().section == "Sport"
        with pytest.raises(Refusal, match="no “colour”"):
            edit_feed(session, find_feed(session, made, "One"), {"colour": "red"})
    web.pages[ONE] = rss("One", ("Another", "https://one.test/b"))
    fetch_feeds(parts.sessions, newsletter_id=newsletter_id, fetch=web, now=lambda: b.NOW)
    with parts.sessions.begin() as session:
        assert {article.section for article in session.scalars(select(Article))} == {"Sport"}
        made = session.scalars(select(Newsletter)).one()
        rule = add_digest(
            session, made, slug="friday", purpose="updates", cron="0 7 * * FRI",
            rules=Rules(max_per_source=1), renderer=parts.renderer, now=b.NOW,
        )  # fmt: skip
        lines = preview_digest(session, rule, now=b.NOW).lines
        assert [line.why for line in lines] == ["new", "One has its 1"]


def test_nothing_is_read_while_the_installation_is_halted(parts: Parts) -> None:
    feeds(parts, ONE)
    with parts.sessions.begin() as session:
        halt(session, "a backup came back", now=b.NOW)
    web = Web()
    assert read_feeds(parts.sessions, fetch=web, now=lambda: b.NOW) == 0
    assert web.asked == []
