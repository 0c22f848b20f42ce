"""Images are ours once a campaign is made: whatever a publisher changes, readers get the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import building as b
import pytest
from pictures import picture
from services.test_retention import job, only
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import undefer

from mailer.domain.articles import ArticleDraft, Image
from mailer.domain.retention import Kind
from mailer.feeds import FetchError, ready_image
from mailer.services.articles.articles import add_article
from mailer.services.articles.images import ImageKeeper, Images, ShownImage
from mailer.services.campaigns.reports import report
from mailer.services.digests.digests import add_digest
from mailer.services.mails.previewing import preview
from mailer.services.operations.tick import run_due_digests
from mailer.services.privacy.retention import retain
from mailer.store.models import Article, Campaign, Newsletter, StoredImage
from mailer.wiring import Parts

BOATS, PORT = picture(size=(2000, 1000)), picture("PNG", (100, 75))
ADDRESSES = ("https://pictures.test/boats.jpg", "https://pictures.test/port.png")


class Web:
    """What publishers' servers hand out, by address; everything else is not there."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.asked: list[str] = []

    def __call__(self, url: str, *, seconds: float) -> bytes:
        assert 0 < seconds <= 15
        self.asked.append(url)
        if url not in self.files:
            raise FetchError(f"{url} answers 404: check the address.")
        return self.files[url]


def keeper(parts: Parts, web: Web) -> ImageKeeper:
    return ImageKeeper(parts.sessions, web, lambda: b.NOW)


def story(session: b.Session, made: Newsletter, number: int, image: str, **said: str) -> Article:
    """Add an article with an image."""
    draft = ArticleDraft(
        canonical_url=f"https://news.test/{number}", title=f"Story {number}", summary="It was.",
        image=Image(image, **said), language="fr" if said else "en",
        published_at=b.NOW - timedelta(hours=number), paywalled=True,
    )  # fmt: skip
    return add_article(session, made, draft, now=b.NOW)[0]


def set_up(parts: Parts, *images: str, **said: str) -> list[Article]:
    """Add a newsletter with an article for every image; the words are those of the last one."""
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        return [
            story(session, made, number, image, **(said if image == images[-1] else {}))
            for number, image in enumerate(images)
        ]


def campaign_of(parts: Parts, articles: Sequence[Article], images: Images) -> int:
    """Make a campaign of the articles; return its number."""
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="News", images=images,
            article_ids=[article.id for article in articles], now=b.NOW,
        )  # fmt: skip
        return campaign.id


def html_of(parts: Parts, campaign_id: int) -> str:
    with parts.sessions() as session:
        campaign = session.get_one(Campaign, campaign_id)
        return preview(session, campaign, parts.renderer, now=b.NOW).html


def stored(parts: Parts) -> dict[str, bytes]:
    """Return the kept images' bytes, by where they were found."""
    with parts.sessions() as session:
        rows = session.scalars(select(StoredImage).options(undefer(StoredImage.body)))
        return {row.source: row.body for row in rows}


def test_readers_get_what_there_was_when_the_campaign_was_made(parts: Parts) -> None:
    articles = set_up(parts, *ADDRESSES, caption="Le port", credit="Awa Diop")
    web = Web({ADDRESSES[0]: BOATS, ADDRESSES[1]: PORT})
    campaign_id = campaign_of(parts, articles, keeper(parts, web).keep(articles))
    before, kept = html_of(parts, campaign_id), stored(parts)
    boats = ready_image(BOATS)
    assert f'src="{parts.settings.public_url}/img/{boats.file}" width="520" height="260"' in before
    assert 'alt="Story 0"' in before
    assert 'width="100" height="75" alt="Le port" lang="fr"' in before
    assert "pictures.test" not in before
    assert "Paying subscribers only" in before
    assert kept[ADDRESSES[0]] == boats.body

    web.files = {ADDRESSES[0]: picture(size=(640, 480))}
    with parts.sessions.begin() as session:
        for article in session.scalars(select(Article)):
            article.title, article.paywalled = "Another story", False
            article.image = {**(article.image or {}), "url": ADDRESSES[0], "caption": "Another"}
    again = keeper(parts, web).keep(articles)
    assert html_of(parts, campaign_id) == before
    assert stored(parts) == kept | stored(parts)
    shown = again[ADDRESSES[0]]
    assert isinstance(shown, ShownImage)
    assert (shown.width, shown.height) == (640, 480)


def test_an_image_that_cannot_be_had_is_left_out_and_named(parts: Parts) -> None:
    missing, page, never = "https://x.test/1.jpg", "https://x.test/2.jpg", "https://x.test/3.jpg"
    articles = set_up(parts, missing, page, never)
    web = Web({page: b"<html>"})
    campaign_id = campaign_of(parts, articles, keeper(parts, web).keep(articles[:2]))
    assert "x.test" not in html_of(parts, campaign_id)
    with parts.sessions() as session:
        left_out = report(session, session.get_one(Campaign, campaign_id))["images_left_out"]
    assert [(each["title"], each["reason"]) for each in left_out] == [
        ("Story 0", f"{missing} answers 404: check the address."),
        ("Story 1", f"{page} cannot be shown: it is no JPEG, PNG, GIF or WebP."),
        ("Story 2", f"{never} was not fetched."),
    ]
    assert stored(parts) == {}


def test_a_digest_keeps_its_images_once_however_often_they_are_shown(parts: Parts) -> None:
    articles = set_up(parts, ADDRESSES[0], ADDRESSES[0], "https://mirror.test/boats.jpg")
    web = Web({ADDRESSES[0]: BOATS, "https://mirror.test/boats.jpg": BOATS})
    first = campaign_of(parts, articles[:1], keeper(parts, web).keep(articles[:1]))
    with parts.sessions.begin() as session:
        add_digest(
            session, session.scalars(select(Newsletter)).one(), slug="daily", purpose="updates",
            cron="0 6 * * *", renderer=parts.renderer, now=b.NOW - timedelta(days=1),
        )  # fmt: skip
    images = keeper(parts, web)
    ran = run_due_digests(parts.sessions, fetch=b.out_of_reach, images=images, now=lambda: b.NOW)
    assert ran == 1
    assert web.asked.count(ADDRESSES[0]) == 2
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(StoredImage)) == 1
        digest = session.scalars(select(Campaign).where(Campaign.id != first)).one()
        assert [each.sha256 for each in digest.images] == [ready_image(BOATS).sha256]
        assert digest.content["images_left_out"] == []


def test_an_image_goes_when_no_campaign_shows_it(parts: Parts) -> None:
    articles = set_up(parts, *ADDRESSES)
    web = Web({ADDRESSES[0]: BOATS, ADDRESSES[1]: PORT})
    kept = keeper(parts, web).keep(articles)
    campaign_of(parts, articles[:1], {ADDRESSES[0]: kept[ADDRESSES[0]]})

    def number(days: int) -> int:
        work = replace(job(parts), now=lambda: b.NOW + timedelta(days=days))
        outcomes = retain(work, only(Kind.IMAGES, 7))
        return sum(each.number for each in outcomes)

    assert (number(6), set(stored(parts))) == (0, set(ADDRESSES))
    assert (number(8), set(stored(parts))) == (1, {ADDRESSES[0]})
    with pytest.raises(IntegrityError), parts.sessions.begin() as session:
        session.execute(delete(StoredImage))
    with parts.sessions.begin() as session:
        session.execute(delete(Campaign))
    assert (number(8), stored(parts)) == (1, {})


def test_a_look_keeps_nothing_and_a_campaign_waits_for_no_image(sqlite_parts: Parts) -> None:
    articles = set_up(sqlite_parts, ADDRESSES[0])
    web = Web({ADDRESSES[0]: BOATS})
    seen = keeper(sqlite_parts, web).look(articles)[ADDRESSES[0]]
    assert isinstance(seen, ShownImage)
    assert seen.place["url"].startswith("data:image/jpeg;base64,")
    assert stored(sqlite_parts) == {}
    late = keeper(sqlite_parts, web).keep(articles, within=timedelta())
    assert str(late[ADDRESSES[0]]).count("was not fetched in time") == 1
    assert len(web.asked) == 1
