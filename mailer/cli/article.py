"""`mailer article`: stories, from feeds and from pages."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mailer.cli.console import AsJson, answer, answer_fields, answer_rows, example, progress
from mailer.cli.opening import open_installation
from mailer.services.articles.articles import (
    Kept,
    add_article,
    edit_article,
    find_article,
    list_articles,
    read_page,
    remove_article,
)
from mailer.services.newsletters.lookup import find_newsletter
from mailer.store.models import Article

app = typer.Typer()

NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]
ArticleId = Annotated[str, typer.Argument(metavar="ID", help="The article's id.")]


@app.command(
    epilog=example(
        "mailer article add weekly https://news.example.org/2026/a-story",
        "mailer article add weekly saved.html --url https://news.example.org/2026/a-story",
    )
)
def add(
    newsletter_name: NewsletterName,
    locations: Annotated[list[str], typer.Argument(metavar="URL|FILE…", help="Article pages.")],
    url: Annotated[
        str | None, typer.Option(help="Where a saved page came from, if it does not say so itself.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read article pages and keep what they say; all of them or none."""
    if url and len(locations) > 1:
        raise typer.BadParameter("--url goes with one page only.")
    parts = open_installation()
    with parts.sessions.begin() as session:
        find_newsletter(session, newsletter_name)
    drafts = []
    with progress("reading pages") as advance:
        for number, location in enumerate(locations, start=1):
            drafts.append(read_page(location, fetch=parts.fetch, url=url))
            advance(number, len(locations))
    rows = []
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        for draft in drafts:
            article, kept = add_article(session, newsletter, draft, now=parts.now())
            session.flush()
            rows.append({**_fields(article), "created": kept is Kept.ADDED})
    answer_rows(as_json, rows, ("article_id", "title", "created", "canonical_url"), empty="")


@app.command("list", epilog=example("mailer article list weekly"))
def list_all(newsletter_name: NewsletterName, as_json: AsJson = False) -> None:
    """List a newsletter's articles, newest first."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        rows = [_fields(article) for article in list_articles(session, newsletter)]
    answer_rows(
        as_json,
        rows,
        ("article_id", "title", "section", "author", "published_at", "canonical_url"),
        empty=f"No article yet: `mailer feed fetch {newsletter_name}` or `mailer article add`.",
    )


@app.command(epilog=example("mailer article show 12 --json"))
def show(article_id: ArticleId, as_json: AsJson = False) -> None:
    """Show one article."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        fields = _fields(find_article(session, article_id))
    answer_fields(as_json, fields)


@app.command(epilog=example('mailer article edit 12 --title "A better title"'))
def edit(
    article_id: ArticleId,
    title: Annotated[str | None, typer.Option(help="The headline.")] = None,
    summary: Annotated[str | None, typer.Option(help="The summary.")] = None,
    author: Annotated[str | None, typer.Option(help="The author.")] = None,
    section: Annotated[str | None, typer.Option(help="The section.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; campaigns that exist keep their frozen copy."""
    given = {"title": title, "summary": summary, "author": author, "section": section}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("Say what to change, such as --title.")
    parts = open_installation()
    with parts.sessions.begin() as session:
        article = find_article(session, article_id)
        edit_article(session, article, changes)
        session.flush()
        fields = _fields(article)
    answer_fields(as_json, fields)


@app.command(epilog=example("mailer article remove 12"))
def remove(article_id: ArticleId, as_json: AsJson = False) -> None:
    """Forget an article; campaigns that exist keep their frozen copy."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        article = find_article(session, article_id)
        fields = _fields(article)
        remove_article(article, now=parts.now())
    answer(as_json, fields, f"Removed article {article_id}: {fields['title']}")


def _fields(article: Article) -> dict[str, Any]:
    return {
        "article_id": article.id,
        "newsletter_id": article.newsletter_id,
        "title": article.title,
        "summary": article.summary,
        "image": article.image,
        "author": article.author,
        "section": article.section,
        "language": article.language,
        "paywalled": article.paywalled,
        "published_at": article.published_at,
        "canonical_url": article.canonical_url,
        "added_at": article.added_at,
        "updated_at": article.updated_at,
    }
