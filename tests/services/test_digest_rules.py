"""What an editor says of a digest and of single articles, and what follows from it."""

from __future__ import annotations

from datetime import timedelta

import building as b
import pytest
from sqlalchemy import select

from mailer.domain.articles import ArticleDraft, Image
from mailer.domain.rules import BadRules, Rules
from mailer.domain.selection import Mark
from mailer.services.articles.articles import add_article
from mailer.services.digests.digests import (
    Ran,
    Skipped,
    add_digest,
    begin_run,
    digest_html,
    run_digest,
)
from mailer.services.digests.editing import edit_digest, mark_article, set_rules, unmark_article
from mailer.services.digests.selecting import preview_digest
from mailer.services.newsletters.lookup import NotFound
from mailer.services.newsletters.newsletters import BadValue
from mailer.store.models import Article, Campaign, Digest, DigestArticle, DigestMark, Newsletter
from mailer.wiring import Parts


def digest(parts: Parts, articles: int = 4, **rules: object) -> int:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        b.articles(session, made, articles)
        return add_digest(
            session, made, slug="friday", purpose="updates", cron="0 7 * * FRI",
            rules=Rules(**rules), renderer=parts.renderer, now=b.NOW,
        ).id  # fmt: skip


def whys(parts: Parts) -> list[tuple[str, str]]:
    with parts.sessions() as session:
        rule = session.scalars(select(Digest)).one()
        return [
            (line.article.title, line.why)
            for line in preview_digest(session, rule, now=b.NOW).lines
        ]


def mark(parts: Parts, number: int, mark: Mark) -> None:
    with parts.sessions.begin() as session:
        rule = session.scalars(select(Digest)).one()
        mark_article(session, rule, session.get_one(Article, number), mark, now=b.NOW)


def run(parts: Parts) -> Ran | Skipped | None:
    with parts.sessions.begin() as session:
        rule = session.scalars(select(Digest)).one()
        return run_digest(session, begin_run(rule), now=b.NOW)


def test_marks_decide_and_are_said_in_the_preview(parts: Parts) -> None:
    digest(parts, max_articles=3)
    mark(parts, 4, Mark.TOP)
    mark(parts, 3, Mark.TOP)
    mark(parts, 1, Mark.EXCLUDED)
    assert whys(parts) == [
        ("Story 2", "top story"),
        ("Story 3", "pinned"),
        ("Story 1", "new"),
        ("Story 0", "excluded by an editor"),
    ]
    with parts.sessions.begin() as session:
        rule = session.scalars(select(Digest)).one()
        for number in (1, 3, 4):
            assert unmark_article(session, rule, session.get_one(Article, number))
        assert not unmark_article(session, rule, session.get_one(Article, 1))
    assert whys(parts)[-1] == ("Story 3", "the digest has its 3")


def test_what_the_preview_says_is_what_the_run_does(parts: Parts) -> None:
    digest(parts, max_articles=2)
    mark(parts, 4, Mark.TOP)
    expected = [title for title, why in whys(parts) if why in ("top story", "new")]
    ran = run(parts)
    assert isinstance(ran, Ran)
    assert [article["title"] for article in ran.campaign.content["articles"]] == expected
    assert whys(parts)[-2:] == [
        ("Story 0", f"sent on {b.NOW:%Y-%m-%d} in campaign 1"),
        ("Story 3", f"sent on {b.NOW:%Y-%m-%d} in campaign 1"),
    ]


def test_no_more_can_be_pinned_than_the_digest_holds_and_nothing_that_was_sent(
    parts: Parts,
) -> None:
    digest(parts, max_articles=2)
    mark(parts, 1, Mark.PINNED)
    mark(parts, 2, Mark.PINNED)
    with pytest.raises(BadValue, match="3 articles would be pinned"):
        mark(parts, 3, Mark.PINNED)
    with parts.sessions.begin() as session:
        rule = session.scalars(select(Digest)).one()
        with pytest.raises(BadValue, match="2 articles would be pinned"):
            set_rules(session, rule, {"max_articles": 1})
    run(parts)
    with pytest.raises(BadValue, match="was sent in campaign 1"):
        mark(parts, 1, Mark.TOP)
    mark(parts, 3, Mark.PINNED)
    mark(parts, 4, Mark.PINNED)


def test_another_newsletters_article_cannot_be_marked(parts: Parts) -> None:
    digest(parts)
    with parts.sessions.begin() as session:
        (foreign,) = b.articles(session, b.newsletter(session, "daily"), 1)
        rule = session.scalars(select(Digest)).one()
        with pytest.raises(NotFound, match="another newsletter"):
            mark_article(session, rule, session.get_one(Article, foreign), Mark.PINNED, now=b.NOW)
        assert session.scalars(select(DigestMark)).all() == []


def test_twins_are_told_once_with_both_sources_and_never_again(parts: Parts) -> None:
    digest(parts, articles=0)
    title = "The harbour opens again after the storm"
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        for number, (site, name, image) in enumerate(
            [("one", title, None), ("two", f"{title}!", Image("https://two.test/i.jpg"))]
        ):
            draft = ArticleDraft(
                canonical_url=f"https://{site}.test/a", title=name, image=image,
                published_at=b.NOW - timedelta(hours=2 - number),
            )  # fmt: skip
            add_article(session, made, draft, now=b.NOW)
    assert whys(parts) == [
        (f"{title}!", "new"),
        (title, "the same story as 2 (two.test): it has an image"),
    ]
    ran = run(parts)
    assert isinstance(ran, Ran)
    (frozen,) = ran.campaign.content["articles"]
    assert frozen["sources"] == [
        {"name": "two.test", "url": "https://two.test/a"},
        {"name": "one.test", "url": "https://one.test/a"},
    ]
    with parts.sessions.begin() as session:
        used = select(DigestArticle.article_id, DigestArticle.told_by)
        assert dict(session.execute(used).all()) == {2: None, 1: 2}
        made = session.scalars(select(Newsletter)).one()
        late = ArticleDraft(
            canonical_url="https://three.test/a", title=title.upper(), published_at=b.NOW
        )
        add_article(session, made, late, now=b.NOW)
    assert run(parts) == Skipped("there is no new article")
    assert whys(parts)[0] == (
        title.upper(), f"the same story as 2 (two.test), sent on {b.NOW:%Y-%m-%d} in campaign 1",
    )  # fmt: skip
    assert ("told by 2 (two.test)") in dict(whys(parts))[title]


def test_too_few_articles_send_nothing(parts: Parts) -> None:
    digest(parts, articles=3, min_articles=3, max_age=timedelta(minutes=90))
    outcome = run(parts)
    assert outcome == Skipped("there are 2 new articles, fewer than 3")
    assert whys(parts)[-1] == ("Story 2", "older than 2 hours")


def test_rules_are_kept_and_changed_one_by_one(parts: Parts) -> None:
    digest_id = digest(parts, caps={"politics": 3}, max_age=timedelta(hours=36))
    with parts.sessions.begin() as session:
        rule = session.get_one(Digest, digest_id)
        set_rules(session, rule, {"max_per_source": 2, "max_age": None})
        edit_digest(
            session, rule, cron="0 6 * * *", timezone="UTC", renderer=parts.renderer, now=b.NOW
        )
        with pytest.raises(BadRules):
            set_rules(session, rule, {"min_articles": 13})
    with parts.sessions() as session:
        rule = session.get_one(Digest, digest_id)
        assert rule.selection == Rules(caps={"politics": 3}, max_per_source=2)
        assert rule.next_run_at == b.NOW.replace(hour=6) + timedelta(days=1)


def test_a_preview_of_the_mail_stores_nothing(parts: Parts) -> None:
    digest_id = digest(parts)
    with parts.sessions.begin() as session:
        rule = session.get_one(Digest, digest_id)
        outlook = preview_digest(session, rule, now=b.NOW)
        html = digest_html(session, rule, outlook, parts.renderer, now=b.NOW)
        assert all(f"Story {number}" in html for number in range(4))
    with parts.sessions() as session:
        assert session.scalars(select(Campaign)).all() == []
