"""Topics: what a newsletter offers its readers to choose, and what they chose.

A topic is a taste, not a consent: nothing is withheld from a reader but the sections of topics that
they did not choose, and only once they chose one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.store.models import Newsletter, ReaderTopic, Subscriber, Topic
from mailer.store.once import insert_once

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class UnknownTopic(Refusal):
    """The newsletter has no such topic."""


class CannotTopic(Refusal):
    """The topic cannot be as it was asked for."""


@dataclass(frozen=True, slots=True)
class TopicChoice:
    """One box of a form."""

    slug: str
    label: str
    chosen: bool


def topics_of(session: Session, newsletter: Newsletter) -> list[Topic]:
    """Return the newsletter's topics, in the order in which they are shown."""
    return list(
        session.scalars(
            select(Topic)
            .where(Topic.newsletter_id == newsletter.id)
            .order_by(Topic.position, Topic.id)
        )
    )


def add_topic(
    session: Session,
    newsletter: Newsletter,
    slug: str,
    *,
    labels: Mapping[str, str],
    sections: Sequence[str] = (),
    position: int | None = None,
) -> Topic:
    """Offer a topic; it stands for the sections named, or for the one called as it is itself."""
    if not _SLUG.fullmatch(slug) or len(slug) > 60:
        raise CannotTopic(f"“{slug}” names no topic: use small letters, digits and hyphens.")
    if not labels or not all(label.strip() for label in labels.values()):
        raise CannotTopic(f"Topic {slug} needs a label that readers see.")
    known = topics_of(session, newsletter)
    if any(each.slug == slug for each in known):
        raise CannotTopic(f"Newsletter {newsletter.slug} has a topic {slug} already.")
    last = max((each.position for each in known), default=0)
    topic = Topic(
        newsletter_id=newsletter.id,
        slug=slug,
        labels=dict(labels),
        sections=_sections(sections) or [labels.get(newsletter.locale, slug)],
        position=last + 1 if position is None else position,
    )
    session.add(topic)
    session.flush()
    return topic


def edit_topic(
    session: Session,
    newsletter: Newsletter,
    slug: str,
    *,
    labels: Mapping[str, str] | None = None,
    sections: Sequence[str] | None = None,
    position: int | None = None,
) -> Topic:
    """Change what is given; labels by locale, the other locales' stay."""
    topic = find_topic(session, newsletter, slug)
    if labels:
        if not all(label.strip() for label in labels.values()):
            raise CannotTopic(f"Topic {slug} needs a label that readers see.")
        topic.labels = {**topic.labels, **labels}
    if sections:
        topic.sections = _sections(sections)
    if position is not None:
        topic.position = position
    return topic


def remove_topic(session: Session, newsletter: Newsletter, slug: str) -> int:
    """Offer it no longer; return how many readers had chosen it."""
    topic = find_topic(session, newsletter, slug)
    number = chosen_by(session, newsletter).get(slug, 0)
    session.execute(delete(ReaderTopic).where(ReaderTopic.topic_id == topic.id))
    session.delete(topic)
    session.flush()
    return number


def find_topic(session: Session, newsletter: Newsletter, slug: str) -> Topic:
    """Return the topic; raises UnknownTopic, which names those there are."""
    known = {topic.slug: topic for topic in topics_of(session, newsletter)}
    if slug not in known:
        names = ", ".join(known) or "none"
        raise UnknownTopic(f"Newsletter {newsletter.slug} has no topic {slug}; it has: {names}.")
    return known[slug]


def chosen_by(session: Session, newsletter: Newsletter) -> dict[str, int]:
    """Return, by topic, how many readers chose it."""
    rows = session.execute(
        select(Topic.slug, func.count(ReaderTopic.subscriber_id))
        .outerjoin(ReaderTopic, ReaderTopic.topic_id == Topic.id)
        .where(Topic.newsletter_id == newsletter.id)
        .group_by(Topic.slug)
    )
    return dict(rows.all())


def choose_topics(
    session: Session, reader: Subscriber, newsletter: Newsletter, wanted: Collection[str]
) -> None:
    """Let these be the reader's topics of the newsletter, and no others; raises UnknownTopic."""
    for slug in wanted:
        find_topic(session, newsletter, slug)
    for topic in topics_of(session, newsletter):
        if topic.slug in wanted:
            insert_once(session, ReaderTopic, {"subscriber_id": reader.id, "topic_id": topic.id})
        else:
            session.execute(
                delete(ReaderTopic).where(
                    ReaderTopic.subscriber_id == reader.id, ReaderTopic.topic_id == topic.id
                )
            )


def add_first_topics(
    session: Session, reader: Subscriber, newsletter_id: int, wanted: Collection[str]
) -> None:
    """Take what was said at the sign-up, unless the reader has chosen before.

    What is not offered any more is left out: the mail that confirms may be days old.
    """
    newsletter = session.get_one(Newsletter, newsletter_id)
    if any(slug == newsletter.slug for slug, _ in topics_chosen(session, reader)):
        return
    offered = {topic.slug for topic in topics_of(session, newsletter)}
    choose_topics(session, reader, newsletter, offered & set(wanted))


def topics_chosen(session: Session, reader: Subscriber) -> list[tuple[str, str]]:
    """Return newsletter and topic, by their slugs, for all that the reader chose."""
    rows = session.execute(
        select(Newsletter.slug, Topic.slug)
        .join(Topic, Topic.newsletter_id == Newsletter.id)
        .join(ReaderTopic, ReaderTopic.topic_id == Topic.id)
        .where(ReaderTopic.subscriber_id == reader.id)
        .order_by(Newsletter.slug, Topic.position, Topic.id)
    )
    return [(newsletter, topic) for newsletter, topic in rows]


def topic_choices(
    session: Session, newsletter: Newsletter, locale: str, reader: Subscriber | None = None
) -> tuple[TopicChoice, ...]:
    """Return the boxes of a form, in the reader's words."""
    chosen = set(topics_chosen(session, reader)) if reader else set()
    return tuple(
        TopicChoice(
            topic.slug,
            label_of(topic, locale, newsletter.locale),
            (newsletter.slug, topic.slug) in chosen,
        )
        for topic in topics_of(session, newsletter)
    )


def topics_now(session: Session, newsletter: Newsletter) -> list[dict[str, Any]]:
    """Return the topics as a campaign keeps them from its start on: `slug`, `labels`, `sections`.

    So a topic that is renamed meanwhile has one name in all of its mails.
    """
    return [
        {"slug": topic.slug, "labels": dict(topic.labels), "sections": list(topic.sections)}
        for topic in topics_of(session, newsletter)
    ]


def topics_shown(
    kept: Sequence[Mapping[str, Any]], locale: str, default_locale: str
) -> list[dict[str, Any]]:
    """Return what templates see of the topics: `slug`, `label` and `sections` of each."""
    return [
        {
            "slug": topic["slug"],
            "label": _label(topic["slug"], topic["labels"], locale, default_locale),
            "sections": [section.casefold() for section in topic["sections"]],
        }
        for topic in kept
    ]


def label_of(topic: Topic, locale: str, default_locale: str) -> str:
    """Return the label in the reader's locale, else in the newsletter's, else any."""
    return _label(topic.slug, topic.labels, locale, default_locale)


def _label(slug: str, labels: Mapping[str, Any], locale: str, default_locale: str) -> str:
    for candidate in (locale, locale.split("-")[0], default_locale):
        if candidate in labels:
            return str(labels[candidate])
    return str(next(iter(labels.values()), slug))


def _sections(sections: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(" ".join(each.split()) for each in sections if each.strip()))
