"""`mailer newsletter`: what readers subscribe to."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mailer.cli.console import AsJson, answer, answer_fields, answer_rows, example
from mailer.cli.opening import open_installation
from mailer.services.newsletters.lookup import find_newsletter
from mailer.services.newsletters.newsletters import (
    add_newsletter,
    edit_newsletter,
    list_newsletters,
)
from mailer.store.models import Newsletter

app = typer.Typer()

Slug = Annotated[
    str, typer.Argument(metavar="SLUG", help="The newsletter's short name, or its id.")
]
Sender = typer.Option("--from", help='Who it comes from: "Name <address>".')
ReplyTo = typer.Option(help="Where answers go, if not to the sender.")
Locale = typer.Option(help="The language of pages and mails, such as en or fr.")
Timezone = typer.Option(help="Time zone, such as Africa/Lagos.")
Postal = typer.Option(help="The postal address that stands in every mail; needed to send.")
Privacy = typer.Option(help="The privacy notice's address on the web.")
Terms = typer.Option(help="The terms' address on the web.")


@app.command(
    epilog=example(
        'mailer newsletter add weekly --name "The Weekly" --from "The Weekly <news@example.org>" '
        '--postal-address "1 Long Street, Kassa"'
    )
)
def add(
    slug: Annotated[
        str, typer.Argument(metavar="SLUG", help="A short name for commands and addresses.")
    ],
    name: Annotated[str, typer.Option(help="The name that readers see.")],
    sender: Annotated[str, Sender],
    reply_to: Annotated[str, ReplyTo] = "",
    locale: Annotated[str, Locale] = "en",
    timezone: Annotated[str, Timezone] = "UTC",
    postal_address: Annotated[str, Postal] = "",
    privacy_url: Annotated[str, Privacy] = "",
    terms_url: Annotated[str, Terms] = "",
    as_json: AsJson = False,
) -> None:
    """Add a newsletter; purposes and a notice come next."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = add_newsletter(
            session,
            slug=slug,
            name=name,
            sender=sender,
            reply_to=reply_to,
            locale=locale,
            timezone=timezone,
            postal_address=postal_address,
            privacy_url=privacy_url,
            terms_url=terms_url,
            now=parts.now(),
        )
        session.flush()
        fields = _fields(newsletter, parts.links.signup(newsletter.slug))
    answer(
        as_json,
        fields,
        f"Added newsletter {slug}. Next: `mailer purpose add {slug} updates --label …`, "
        f"then `mailer notice publish {slug} --text-file …`.",
    )


@app.command("list", epilog=example("mailer newsletter list"))
def list_all(as_json: AsJson = False) -> None:
    """List all newsletters."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        rows = [
            _fields(newsletter, parts.links.signup(newsletter.slug))
            for newsletter in list_newsletters(session)
        ]
    answer_rows(
        as_json,
        rows,
        ("newsletter", "name", "from", "locale", "timezone", "signup_url"),
        empty="No newsletter yet: `mailer newsletter add`.",
    )


@app.command(epilog=example("mailer newsletter show weekly --json"))
def show(slug: Slug, as_json: AsJson = False) -> None:
    """Show one newsletter with its sign-up page."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, slug)
        fields = _fields(newsletter, parts.links.signup(newsletter.slug))
    answer_fields(as_json, fields)


@app.command(epilog=example("mailer newsletter edit weekly --timezone Africa/Nairobi"))
def edit(
    slug: Slug,
    name: Annotated[str | None, typer.Option(help="The name that readers see.")] = None,
    sender: Annotated[str | None, Sender] = None,
    reply_to: Annotated[str | None, ReplyTo] = None,
    locale: Annotated[str | None, Locale] = None,
    timezone: Annotated[str | None, Timezone] = None,
    postal_address: Annotated[str | None, Postal] = None,
    privacy_url: Annotated[str | None, Privacy] = None,
    terms_url: Annotated[str | None, Terms] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given and keep the rest."""
    given = {
        "name": name,
        "sender": sender,
        "reply_to": reply_to,
        "locale": locale,
        "timezone": timezone,
        "postal_address": postal_address,
        "privacy_url": privacy_url,
        "terms_url": terms_url,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("Say what to change, such as --name.")
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, slug)
        edit_newsletter(session, newsletter, changes)
        fields = _fields(newsletter, parts.links.signup(newsletter.slug))
    answer_fields(as_json, fields)


def _fields(newsletter: Newsletter, signup_url: str) -> dict[str, Any]:
    return {
        "newsletter": newsletter.slug,
        "newsletter_id": newsletter.id,
        "name": newsletter.name,
        "from": f"{newsletter.from_name} <{newsletter.from_address}>".strip(),
        "reply_to": newsletter.reply_to,
        "locale": newsletter.locale,
        "timezone": newsletter.timezone,
        "postal_address": newsletter.postal_address,
        "privacy_url": newsletter.privacy_url,
        "terms_url": newsletter.terms_url,
        "purposes": [purpose.slug for purpose in newsletter.purposes],
        "signup_url": signup_url,
    }
