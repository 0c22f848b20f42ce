"""Campaigns whose mails differ by reader, for tests of any of it."""

from __future__ import annotations

from collections.abc import Sequence
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import building as b
from sqlalchemy import func, select

from mailer.domain.articles import ArticleDraft
from mailer.services.articles.articles import add_article
from mailer.services.campaigns.course import start_campaign
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.newsletters.topics import add_topic, choose_topics
from mailer.store.models import Article, Newsletter, Subscriber, Variant
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

OWED = '<p><a href="{{ links.unsubscribe }}">Leave</a> {{ newsletter.postal_address }}</p>'
"""Without which no mail goes."""

SECTIONS = ("Politics", "Culture", "Sport", "")


def write_template(parts: Parts, name: str = "own", **files: str) -> str:
    """Write a mail's folder: subject, preheader, html, text; return its name."""
    own = parts.settings.home / "templates" / name
    own.mkdir(parents=True, exist_ok=True)
    named = {"subject": "subject.txt", "preheader": "preheader.txt", "html": "body.html",
             "text": "body.txt"}  # fmt: skip
    for key, file in named.items():
        owed = OWED if key == "html" else ""
        (own / file).write_text(files.get(key, "x") + owed, "utf-8")
    return name


def start(parts: Parts, number: int, *, template: str, topics: Sequence[str] = ()) -> int:
    """Start a campaign of four stories to so many readers, and do not prepare it; return its id."""
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        for slug in topics:
            add_topic(session, made, slug, labels={"en": slug.title()})
        b.readers(parts, session, made, number)
        for place, section in enumerate(SECTIONS):
            draft = ArticleDraft(
                canonical_url=f"https://news.test/{place}",
                title=f"Story of {section or 'the day'}",
                summary="It happened.",
                section=section,
            )
            add_article(session, made, draft, now=b.NOW)
        campaign = create_campaign(
            session, made, purpose="updates", subject="News", template=template,
            article_ids=list(session.scalars(select(Article.id).order_by(Article.id))),
            now=parts.now(),
        )  # fmt: skip
        start_campaign(session, campaign, now=parts.now())
        return campaign.id


def change(parts: Parts, reader: int, *, topics: Sequence[str] | None = None, **said: Any) -> None:
    """Let a reader, by number, have other details or topics."""
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        address = f"reader{reader}@readers.test"
        found = session.scalars(select(Subscriber).where(Subscriber.email == address)).one()
        for name, value in said.items():
            setattr(found, name, value)
        if topics is not None:
            choose_topics(session, found, made, topics)


def prepare(parts: Parts, campaign_id: int) -> int:
    """Compile and plan."""
    return b.prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )


def texts(transport: MemoryTransport) -> dict[str, str]:
    """Return the text part of what everybody got, by the number of the reader."""
    return {
        envelope.recipient.partition("@")[0].removeprefix("reader"): part(content, "text/plain")
        for envelope, content in transport.accepted
    }


def part(content: bytes, kind: str) -> str:
    """Return a part of a mail, decoded."""
    message = message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    found = next(each for each in message.walk() if each.get_content_type() == kind)
    return str(found.get_content()).replace("\r\n", "\n")


def variants(parts: Parts) -> int:
    """Return how many mails have been compiled."""
    with parts.sessions() as session:
        return session.scalar(select(func.count()).select_from(Variant)) or 0
