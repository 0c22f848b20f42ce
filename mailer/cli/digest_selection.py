"""`mailer digest`: what would go and why, and an editor's say on single articles."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from mailer.cli.campaign_fields import left_out_sentences
from mailer.cli.console import AsJson, answer, answer_rows, example, print_json, say
from mailer.cli.new_file import new_file
from mailer.cli.noting import note
from mailer.cli.opening import open_installation
from mailer.domain.selection import Mark
from mailer.services.articles.articles import find_article
from mailer.services.articles.images import NONE, left_out_of
from mailer.services.digests.digests import digest_html
from mailer.services.digests.editing import mark_article, unmark_article
from mailer.services.digests.selecting import Line, preview_digest
from mailer.services.newsletters.lookup import find_digest, find_newsletter
from mailer.store.engine import reading

app = typer.Typer()

NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]
Slug = Annotated[str, typer.Argument(metavar="DIGEST", help="The digest's short name or id.")]
ArticleId = Annotated[str, typer.Argument(metavar="ARTICLE", help="The article's id.")]
Off = Annotated[bool, typer.Option("--off", help="Take it back.")]


@app.command(
    epilog=example(
        "mailer digest preview weekly friday",
        "mailer digest preview weekly friday --html friday.html",
    )
)
def preview(
    newsletter_name: NewsletterName,
    slug: Slug,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the mail to look at.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write over the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a run would send now, and why each article is in or out; nothing is changed."""
    parts = open_installation()
    now = parts.now()
    with reading(parts.sessions) as session:
        digest = find_digest(session, find_newsletter(session, newsletter_name), slug)
        outlook = preview_digest(session, digest, now=now)
        named = {"digest": digest.slug, "newsletter": digest.newsletter.slug}
    mail, images = None, NONE
    if html is not None and outlook.chosen:
        images = parts.images.look(outlook.chosen)
        with reading(parts.sessions) as session:
            digest = find_digest(session, find_newsletter(session, newsletter_name), slug)
            mail = digest_html(session, digest, outlook, parts.renderer, images=images, now=now)
    rows = [_row(line, now) for line in outlook.lines]
    if html is not None and mail is not None:
        with new_file(html, replace=yes) as file:
            file.write(mail)
    left_out = left_out_of(outlook.chosen, images) if mail is not None else []
    for sentence in left_out_sentences(left_out):
        say(sentence)
    if as_json:
        print_json(
            {
                **named,
                "would_send": not outlook.shortfall,
                "reason": outlook.shortfall or None,
                "articles": rows,
                **({} if mail is None else {"images_left_out": left_out}),
            }
        )
        return
    answer_rows(
        False,
        [_for_people(row) for row in rows],
        ("in", "article_id", "title", "source", "section", "age", "why"),
        empty="There is no article yet: `mailer feed fetch`, or `mailer article add`.",
    )
    number = len(outlook.chosen)
    if outlook.shortfall:
        say(f"A run now would be skipped: {outlook.shortfall}.")
    else:
        say(f"A run now would send {number} article{'s' if number > 1 else ''}.")


@app.command(
    epilog=example("mailer digest pin weekly friday 12", "mailer digest pin weekly friday 12 --off")
)
def pin(
    newsletter_name: NewsletterName,
    slug: Slug,
    article: ArticleId,
    off: Off = False,
    as_json: AsJson = False,
) -> None:
    """Let an article go with the next run, whatever its age, section and source."""
    _mark(newsletter_name, slug, article, Mark.PINNED, "digest pin", off=off, as_json=as_json)


@app.command(epilog=example("mailer digest exclude weekly friday 12"))
def exclude(
    newsletter_name: NewsletterName,
    slug: Slug,
    article: ArticleId,
    off: Off = False,
    as_json: AsJson = False,
) -> None:
    """Keep an article out of this digest."""
    _mark(newsletter_name, slug, article, Mark.EXCLUDED, "digest exclude", off=off, as_json=as_json)


@app.command(epilog=example("mailer digest top weekly friday 12"))
def top(
    newsletter_name: NewsletterName,
    slug: Slug,
    article: ArticleId,
    off: Off = False,
    as_json: AsJson = False,
) -> None:
    """Let an article lead the next run; one that led before stays pinned."""
    _mark(newsletter_name, slug, article, Mark.TOP, "digest top", off=off, as_json=as_json)


def _mark(
    newsletter_name: str, slug: str, name: str, mark: Mark, action: str, *, off: bool, as_json: bool
) -> None:
    parts = open_installation()
    with parts.sessions.begin() as session:
        digest = find_digest(session, find_newsletter(session, newsletter_name), slug)
        article = find_article(session, name)
        fields: dict[str, Any] = {
            "digest": digest.slug,
            "newsletter": digest.newsletter.slug,
            "article_id": article.id,
            "title": article.title,
            "mark": None if off else mark.value,
        }
        if off:
            unmark_article(session, digest, article)
        else:
            mark_article(session, digest, article, mark, now=parts.now())
        note(
            parts, session, action, newsletter=fields["newsletter"], digest=fields["digest"],
            article=fields["article_id"], off=off,
        )  # fmt: skip
    said = "has no mark any more" if off else f"is {_WORDS[mark]}"
    answer(as_json, fields, f"Article {fields['article_id']} “{fields['title']}” {said}.")


_WORDS = {Mark.TOP: "the top story", Mark.PINNED: "pinned", Mark.EXCLUDED: "excluded"}


def _row(line: Line, now: datetime) -> dict[str, Any]:
    article = line.article
    return {
        "in": line.decision.reason.is_in,
        "article_id": article.id,
        "title": article.title,
        "source": line.source,
        "section": article.section,
        "age": _age(now - line.moment),
        "reason": line.decision.reason.value,
        "why": line.why,
        "like": line.decision.like,
        "because": line.decision.because,
        "published_at": article.published_at,
        "updated_at": article.updated_at,
        "canonical_url": article.canonical_url,
    }


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row that fits a terminal."""
    return {
        **row,
        "in": "in" if row["in"] else "out",
        "title": _cut(row["title"], 60),
        "source": _cut(row["source"], 28),
    }


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _age(length: timedelta) -> str:
    hours = length / timedelta(hours=1)
    if hours < 0:
        return "ahead"
    return f"{round(hours)} h" if hours < 48 else f"{round(hours / 24)} d"
