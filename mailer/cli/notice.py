"""`mailer notice`: the exact wording shown when consent is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mailer.cli import notice_ask
from mailer.cli.console import (
    AsJson,
    answer,
    answer_fields,
    answer_rows,
    example,
    print_json,
    read_text,
    verbatim,
)
from mailer.cli.opening import open_installation
from mailer.services.newsletters.lookup import NotFound, find_newsletter
from mailer.services.newsletters.newsletters import locale_code
from mailer.services.newsletters.notices import (
    count_consents,
    current_notice,
    list_notices,
    notice_by_hash,
    publish_notice,
    superseded_at,
)
from mailer.store.engine import reading
from mailer.store.models import Notice

app = typer.Typer()
app.add_typer(notice_ask.app)

NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]


@app.command(epilog=example("mailer notice publish weekly --locale en --text-file notice.txt"))
def publish(
    newsletter_name: NewsletterName,
    text_file: Annotated[Path, typer.Option(help="The wording, UTF-8 text; - for standard input.")],
    locale: Annotated[str | None, typer.Option(help="Its language; else the newsletter's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a wording. It is never edited again; another one becomes the next version."""
    text = read_text(text_file)
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        notice = publish_notice(
            session, newsletter, locale=locale or newsletter.locale, text=text, now=parts.now()
        )
        session.flush()
        fields = _fields(notice, newsletter.slug)
        signup = parts.links.signup(newsletter.slug)
    answer(
        as_json,
        fields,
        f"Version {fields['version']} ({fields['locale']}) stands on {signup} "
        f"(SHA-256 {fields['sha256']}).",
    )


@app.command("list", epilog=example("mailer notice list weekly"))
def list_all(newsletter_name: NewsletterName, as_json: AsJson = False) -> None:
    """List every version that was ever shown."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        rows = [_fields(notice, newsletter.slug) for notice in list_notices(session, newsletter)]
    answer_rows(
        as_json,
        rows,
        ("version", "locale", "published_at", "sha256", "text"),
        empty=f"No notice yet: `mailer notice publish {newsletter_name} --text-file …`.",
    )


@app.command(
    epilog=example("mailer notice show weekly --locale fr", "mailer notice show weekly --version 2")
)
def show(
    newsletter_name: NewsletterName,
    locale: Annotated[str | None, typer.Option(help="Its language; else the newsletter's.")] = None,
    version: Annotated[int | None, typer.Option(help="An earlier version.")] = None,
    sha256: Annotated[str | None, typer.Option(help="The version with this hash.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a wording word for word, since when it stands, and how many consents stand on it.

    The one in force, or an earlier one.
    """
    parts = open_installation()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name)
        language = locale_code(locale or newsletter.locale)
        if sha256:
            notice = notice_by_hash(session, newsletter, sha256)
        elif version is not None:
            notice = next(
                (
                    candidate
                    for candidate in list_notices(session, newsletter)
                    if candidate.version == version and candidate.locale == language
                ),
                None,
            )
        else:
            notice = current_notice(session, newsletter, language)
        if notice is None:
            raise NotFound(
                f"{newsletter.slug} has no such notice: see `mailer notice list {newsletter.slug}`."
            )
        fields = {
            **_fields(notice, newsletter.slug),
            "superseded_at": superseded_at(session, notice),
            "consents": count_consents(session, notice),
        }
    if as_json:
        print_json(fields)
        return
    text = fields.pop("text")
    fields["purposes"] = [
        f"{each['slug']} “{each['label']}” ({each['kind']})" for each in fields["purposes"]
    ]
    for name in ("controller", "links"):
        fields[name] = {key: value for key, value in fields[name].items() if value} or None
    answer_fields(as_json, fields)
    typer.echo(f"\n{verbatim(text)}")


def _fields(notice: Notice, newsletter: str) -> dict[str, Any]:
    return {
        "newsletter": newsletter,
        "version": notice.version,
        "locale": notice.locale,
        "published_at": notice.published_at,
        "sha256": notice.sha256,
        "text": notice.text,
        "purposes": list(notice.purposes),
        "controller": dict(notice.controller),
        "links": dict(notice.links),
    }
