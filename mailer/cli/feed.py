"""`mailer feed`: where articles come from."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from mailer.cli.console import (
    AsJson,
    answer,
    answer_fields,
    answer_rows,
    example,
    progress,
    say,
)
from mailer.cli.opening import open_installation
from mailer.domain.errors import Refusal
from mailer.domain.feed_health import is_broken
from mailer.services.articles.feeds import (
    add_feed,
    article_counts,
    edit_feed,
    fetch_feeds,
    find_feed,
    list_feeds,
    remove_feed,
)
from mailer.services.newsletters.lookup import find_newsletter
from mailer.store.engine import reading
from mailer.store.models import Feed, Newsletter

app = typer.Typer()

NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]
Name = typer.Option(help="What readers see as the source, else the feed's own title.")
Section = typer.Option(help="The section of all its articles, else what the feed says of each.")
Location = Annotated[str, typer.Argument(metavar="URL|FILE", help="RSS, Atom or JSON feed.")]


class FeedsFailed(Refusal):
    """At least one feed could not be read."""


@app.command(
    epilog=example(
        "mailer feed add weekly https://news.example.org/rss.xml",
        'mailer feed add weekly https://news.example.org/sport.xml --name "The Daily" '
        "--section Sport",
    )
)
def add(
    newsletter_name: NewsletterName,
    location: Location,
    name: Annotated[str, Name] = "",
    section: Annotated[str, Section] = "",
    as_json: AsJson = False,
) -> None:
    """Add a feed; `mailer feed fetch` and the workers read it."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        feed = add_feed(session, newsletter, location, name=name, section=section)
        session.flush()
        fields = _fields(session, feed, newsletter, parts.now())
    answer(
        as_json,
        fields,
        f"Added feed {fields['feed_id']}. Next: `mailer feed fetch {newsletter.slug}`.",
    )


@app.command("list", epilog=example("mailer feed list weekly"))
def list_all(newsletter_name: NewsletterName, as_json: AsJson = False) -> None:
    """List a newsletter's feeds with their health.

    One that fails is asked less and less often, and at least twice a day.
    """
    parts = open_installation()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name)
        rows = [
            _fields(session, feed, newsletter, parts.now())
            for feed in list_feeds(session, newsletter)
        ]
    answer_rows(
        as_json,
        rows,
        (
            "feed_id",
            "name",
            "location",
            "health",
            "articles",
            "last_success_at",
            "next_read_at",
            "last_error",
        ),
        empty=f"No feed yet: `mailer feed add {newsletter_name} URL`.",
    )


@app.command(epilog=example("mailer feed fetch weekly"))
def fetch(
    newsletter_name: Annotated[
        str | None, typer.Argument(metavar="NEWSLETTER", help="Short name or id; else all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the feeds now and keep their new articles.

    Status 1 when one of them cannot be read; the others are read all the same.
    """
    parts = open_installation()
    with parts.sessions.begin() as session:
        chosen = find_newsletter(session, newsletter_name).id if newsletter_name else None
    with progress("reading feeds") as advance:
        reports = fetch_feeds(
            parts.sessions, newsletter_id=chosen, fetch=parts.fetch, now=parts.now,
            progress=advance,
        )  # fmt: skip
    rows: list[dict[str, Any]] = [
        {
            "location": report.location,
            "added": report.added,
            "updated": report.updated,
            "known": report.known,
            "skipped": list(report.skipped),
            "error": report.error,
        }
        for report in reports
    ]
    for row in rows:
        for reason in row["skipped"]:
            say(f"{row['location']}: skipped {reason}")
    answer_rows(
        as_json,
        rows if as_json else [{**row, "skipped": len(row["skipped"])} for row in rows],
        ("location", "added", "updated", "known", "skipped", "error"),
        empty="No feed yet: `mailer feed add NEWSLETTER URL`.",
    )
    failed = [row for row in rows if row["error"]]
    if failed:
        where, error = failed[0]["location"], failed[0]["error"]
        raise FeedsFailed(error if where in error else f"{where}: {error}")


@app.command(epilog=example('mailer feed edit weekly 2 --name "The Daily" --section Sport'))
def edit(
    newsletter_name: NewsletterName,
    feed_name: Annotated[str, typer.Argument(metavar="URL|FILE|ID", help="The feed.")],
    name: Annotated[str | None, Name] = None,
    section: Annotated[str | None, Section] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; a section also of the articles that are there."""
    given = {"name": name, "section": section}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("Say what to change, such as --name.")
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        feed = edit_feed(session, find_feed(session, newsletter, feed_name), changes)
        fields = _fields(session, feed, newsletter, parts.now())
    answer_fields(as_json, fields)


@app.command(epilog=example("mailer feed remove weekly https://news.example.org/rss.xml"))
def remove(
    newsletter_name: NewsletterName,
    location: Annotated[str, typer.Argument(metavar="URL|FILE|ID", help="The feed.")],
    as_json: AsJson = False,
) -> None:
    """Forget a feed; its articles stay."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        remove_feed(session, newsletter, location)
        fields = {"newsletter": newsletter.slug, "removed": location}
    answer(as_json, fields, f"Removed feed {location}; its articles stay.")


def _fields(session: Session, feed: Feed, newsletter: Newsletter, now: datetime) -> dict[str, Any]:
    return {
        "feed_id": feed.id,
        "newsletter": newsletter.slug,
        "location": feed.location,
        "name": feed.name or feed.title,
        "title": feed.title,
        "section": feed.section,
        "health": _health(feed, now),
        "articles": article_counts(session, [feed]).get(feed.id, 0),
        "last_success_at": feed.last_success_at,
        "last_error": feed.last_error,
        "last_error_at": feed.last_error_at,
        "failures": feed.failures,
        "failing_since": feed.failing_since,
        "next_read_at": feed.next_read_at,
    }


def _health(feed: Feed, now: datetime) -> str:
    if is_broken(feed.failing_since, now):
        return "broken"
    if feed.failures:
        return "failing"
    return "fine" if feed.last_success_at else "not read yet"
