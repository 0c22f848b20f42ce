"""`mailer purpose`: what a consent is for."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mailer.cli.console import AsJson, answer, answer_rows, example
from mailer.cli.opening import open_installation
from mailer.services.newsletters.lookup import find_newsletter
from mailer.services.newsletters.newsletters import add_purpose
from mailer.services.newsletters.notices import list_notices
from mailer.store.models import Purpose

app = typer.Typer()

NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]


@app.command(epilog=example('mailer purpose add weekly updates --label "News updates every week"'))
def add(
    newsletter_name: NewsletterName,
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="A short name, such as updates.")],
    label: Annotated[str, typer.Option(help="What stands beside the box on the page.")],
    kind: Annotated[str, typer.Option(help="editorial, partner or measurement.")] = "editorial",
    locale: Annotated[
        str | None, typer.Option(help="The label's language; else the newsletter's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a purpose, or a label in another language to one that is there."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        purpose = add_purpose(session, newsletter, slug, label, kind=kind, locale=locale)
        session.flush()
        fields = _fields(purpose, newsletter.slug)
        published = bool(list(list_notices(session, newsletter)))
    words = f"Purpose {slug} of {newsletter.slug} is set."
    if published:
        words += f" Readers see it with a new notice: `mailer notice publish {newsletter.slug} …`."
    answer(as_json, fields, words)


@app.command("list", epilog=example("mailer purpose list weekly"))
def list_all(newsletter_name: NewsletterName, as_json: AsJson = False) -> None:
    """List a newsletter's purposes in the order of the page."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        rows = [_fields(purpose, newsletter.slug) for purpose in newsletter.purposes]
    answer_rows(
        as_json,
        rows,
        ("purpose", "kind", "labels"),
        empty=f"No purpose yet: `mailer purpose add {newsletter_name} updates --label …`.",
    )


def _fields(purpose: Purpose, newsletter: str) -> dict[str, Any]:
    return {
        "newsletter": newsletter,
        "purpose": purpose.slug,
        "purpose_id": purpose.id,
        "kind": purpose.kind,
        "labels": dict(purpose.labels),
    }
