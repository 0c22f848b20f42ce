"""`mailer topic`: what readers may choose within a newsletter."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from mailer.cli.console import AsJson, answer, answer_rows, ask, example
from mailer.cli.noting import note
from mailer.cli.opening import open_installation
from mailer.services.newsletters.lookup import find_newsletter
from mailer.services.newsletters.newsletters import locale_code, one_line
from mailer.services.newsletters.topics import (
    add_topic,
    chosen_by,
    edit_topic,
    find_topic,
    remove_topic,
    topics_of,
)
from mailer.store.engine import reading
from mailer.store.models import Newsletter, Topic

app = typer.Typer()

NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]
Slug = Annotated[str, typer.Argument(metavar="SLUG", help="A short name, such as politics.")]
Sections = typer.Option("--section", help="An articles' section it stands for; repeatable.")
Locale = typer.Option(help="The label's language; else the newsletter's.")
Position = typer.Option(help="Where it stands in the list, the smallest first.")


@app.command(
    epilog=example(
        "mailer topic add weekly politics --label Politics --section Politics --section Elections"
    )
)
def add(
    newsletter_name: NewsletterName,
    slug: Slug,
    label: Annotated[str, typer.Option(help="What stands beside the box on the page.")],
    section: Annotated[list[str] | None, Sections] = None,
    locale: Annotated[str | None, Locale] = None,
    position: Annotated[int | None, Position] = None,
    as_json: AsJson = False,
) -> None:
    """Offer a topic; without --section it stands for the section of its label."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        labels = {_locale(locale, newsletter): one_line(label, "label", 100)}
        topic = add_topic(
            session, newsletter, slug, labels=labels, sections=section or (), position=position
        )
        fields = _fields(session, newsletter, topic)
    answer(as_json, fields, f"Readers of {newsletter.slug} can choose {slug} now.")


@app.command("list", epilog=example("mailer topic list weekly"))
def list_all(newsletter_name: NewsletterName, as_json: AsJson = False) -> None:
    """List a newsletter's topics, and how many readers chose each."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name)
        rows = [_fields(session, newsletter, topic) for topic in topics_of(session, newsletter)]
    answer_rows(
        as_json,
        rows,
        ("topic", "labels", "sections", "position", "readers"),
        empty=f"No topic yet: `mailer topic add {newsletter_name} politics --label Politics`.",
    )


@app.command(epilog=example("mailer topic edit weekly politics --label Politique --locale fr"))
def edit(
    newsletter_name: NewsletterName,
    slug: Slug,
    label: Annotated[str | None, typer.Option(help="What stands beside the box.")] = None,
    section: Annotated[list[str] | None, Sections] = None,
    locale: Annotated[str | None, Locale] = None,
    position: Annotated[int | None, Position] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given and keep the rest; the sections given are all it stands for then."""
    if label is None and not section and position is None:
        raise typer.BadParameter("Say what to change, such as --label.")
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        labels = (
            {_locale(locale, newsletter): one_line(label, "label", 100)}
            if label is not None
            else None
        )
        topic = edit_topic(
            session, newsletter, slug, labels=labels, sections=section, position=position
        )
        session.flush()
        fields = _fields(session, newsletter, topic)
    answer(as_json, fields, f"Topic {slug} of {newsletter.slug} is changed.")


@app.command(epilog=example("mailer topic remove weekly politics --yes"))
def remove(
    newsletter_name: NewsletterName,
    slug: Slug,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Offer it no longer; who chose it, and nothing else, gets everything again."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name)
        find_topic(session, newsletter, slug)
        number = chosen_by(session, newsletter)[slug]
    ask(f"{number} readers have chosen {slug}, which is forgotten.", yes=yes)
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        number = remove_topic(session, newsletter, slug)
        note(
            parts, session, "topic remove", newsletter=newsletter.slug, topic=slug, readers=number
        )  # fmt: skip
    fields = {"newsletter": newsletter.slug, "topic": slug, "readers": number}
    answer(as_json, fields, f"Topic {slug} of {newsletter.slug} is gone; {number} had chosen it.")


def _locale(given: str | None, newsletter: Newsletter) -> str:
    return locale_code(given) if given else newsletter.locale


def _fields(session: Session, newsletter: Newsletter, topic: Topic) -> dict[str, Any]:
    return {
        "newsletter": newsletter.slug,
        "topic": topic.slug,
        "topic_id": topic.id,
        "labels": dict(topic.labels),
        "sections": list(topic.sections),
        "position": topic.position,
        "readers": chosen_by(session, newsletter).get(topic.slug, 0),
    }
