"""`mailer feed`: where articles come from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mailer.cli.console import AsJson, answer, answer_rows, example, progress, say
from mailer.cli.opening import open_installation
from mailer.domain.errors import Refusal
from mailer.services.articles import add_feed, fetch_feeds, list_feeds, remove_feed
from mailer.services.lookup import find_newsletter
from mailer.store.models import Feed, Newsletter

app = typer.Typer()

NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]
Location = Annotated[str, typer.Argument(metavar="URL|FILE", help="RSS, Atom or JSON feed.")]


class FeedsFailed(Refusal):
    """At least one feed could not be read."""


@app.command(epilog=example("mailer feed add weekly https://news.example.org/rss.xml"))
def add(newsletter_name: NewsletterName, location: Location, as_json: AsJson = False) -> None:
    """Add a feed; `mailer feed fetch` and the workers read it."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        feed = add_feed(session, newsletter, location)
        session.flush()
        fields = _fields(feed, newsletter)
    answer(
        as_json,
        fields,
        f"Added feed {fields['feed_id']}. Next: `mailer feed fetch {newsletter.slug}`.",
    )


@app.command("list", epilog=example("mailer feed list weekly"))
def list_all(newsletter_name: NewsletterName, as_json: AsJson = False) -> None:
    """List a newsletter's feeds with their health."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        rows = [_fields(feed, newsletter) for feed in list_feeds(session, newsletter)]
    answer_rows(
        as_json,
        rows,
        ("feed_id", "title", "location", "last_success_at", "last_error"),
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
        ("location", "added", "updated", "skipped", "error"),
        empty="No feed yet: `mailer feed add NEWSLETTER URL`.",
    )
    failed = [row for row in rows if row["error"]]
    if failed:
        where, error = failed[0]["location"], failed[0]["error"]
        raise FeedsFailed(error if where in error else f"{where}: {error}")


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


def _fields(feed: Feed, newsletter: Newsletter) -> dict[str, Any]:
    return {
        "feed_id": feed.id,
        "newsletter": newsletter.slug,
        "location": feed.location,
        "title": feed.title,
        "last_success_at": feed.last_success_at,
        "last_error": feed.last_error,
        "last_error_at": feed.last_error_at,
    }
