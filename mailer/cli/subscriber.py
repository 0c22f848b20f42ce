"""`mailer subscriber`: readers and their subscriptions."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from mailer.cli import subscriber_export
from mailer.cli.console import (
    AsJson,
    answer,
    answer_fields,
    answer_rows,
    example,
    progress,
    read_text,
)
from mailer.cli.noting import looked, note
from mailer.cli.opening import open_installation
from mailer.cli.pausing import let_others_write
from mailer.cli.subscriber_import import import_readers
from mailer.cli.when import BadTime, parse_past
from mailer.domain.addresses import parse_address
from mailer.domain.consent import Basis, Method
from mailer.domain.schedule import zone
from mailer.domain.spans import parse_span
from mailer.services.consent.adding import add_reader
from mailer.services.consent.leaving import withdraw_all
from mailer.services.newsletters.lookup import as_id, find_newsletter, find_purpose
from mailer.services.newsletters.newsletters import locale_code, one_line
from mailer.services.newsletters.topics import choose_topics
from mailer.services.readers.reader_list import list_readers
from mailer.services.readers.readers import (
    reader_history,
    require_reader,
    require_readers,
    show_reader,
)
from mailer.store.consents import Evidence
from mailer.store.engine import reading
from mailer.store.readers import ReaderDetails, find_reader, lock_reader

app = typer.Typer()
app.command(
    "import",
    epilog=example(
        "mailer subscriber import weekly list.csv --purpose updates --source 'old list, 2024' "
        "--dry-run",
        "mailer subscriber import weekly list.csv --purpose updates --source 'old list, 2024' "
        "--map email=E-mail --map name='First Name'",
    ),
)(import_readers)
app.add_typer(subscriber_export.app)

Reader = Annotated[str, typer.Argument(metavar="EMAIL", help="The reader's address or id.")]
NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]
Name = typer.Option(help="The reader's name.")
Locale = typer.Option(help="The reader's language, such as en or fr.")
Timezone = typer.Option(help="The reader's time zone, such as Africa/Lagos.")
Topics = typer.Option("--topic", help="A topic they choose; may be given more than once.")
Attributes = typer.Option("--attribute", help="KEY=VALUE; may be given more than once.")


@app.command(
    epilog=example(
        "mailer subscriber add weekly amina@example.org --purpose updates "
        "--source 'paper form, spring fair'",
        "mailer subscriber add weekly amina@example.org --purpose updates "
        "--source 'bought a book' --basis implied --valid-for 2y --stated-at 2026-05-17",
    )
)
def add(
    newsletter_name: NewsletterName,
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The reader's address.")],
    purpose: Annotated[list[str], typer.Option(help="What they consented to; repeatable.")],
    source: Annotated[str, typer.Option(help="Where and when they consented.")],
    name: Annotated[str, Name] = "",
    locale: Annotated[str, Locale] = "",
    timezone: Annotated[str, Timezone] = "",
    attribute: Annotated[list[str] | None, Attributes] = None,
    topic: Annotated[list[str] | None, Topics] = None,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Ask the reader by mail first; else active at once.")
    ] = False,
    basis: Annotated[
        Basis, typer.Option(help="Their word, or a relation that implies it until it ends.")
    ] = Basis.CONSENT,
    valid_for: Annotated[
        str, typer.Option(help="How long an implied consent lasts: 180d, 6mo or 2y.")
    ] = "",
    stated_at: Annotated[
        str, typer.Option(help="When it was given, such as 2026-05-17; its time begins then.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Record consent that was given elsewhere: active at once, no mail, the source is kept.

    An implied one ends by itself when its time is over.
    """
    if (basis is Basis.IMPLIED) != bool(valid_for):
        raise typer.BadParameter("--basis implied and --valid-for go together.")
    if confirm and basis is Basis.IMPLIED:
        raise typer.BadParameter("--confirm asks for the reader's word: leave --basis away.")
    address = parse_address(email)
    details = ReaderDetails(
        one_line(name, "name", 100), locale_code(locale), _timezone(timezone), tuple(topic or ())
    )
    attributes = _attributes(attribute or [])
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        now = parts.now()
        stated = parse_past(stated_at, newsletter.timezone, now=now) if stated_at else None
        ends = _end_of_implied(stated or now, valid_for, now) if valid_for else None
        outcome = add_reader(
            session,
            newsletter,
            address,
            purposes=[find_purpose(session, newsletter, slug).slug for slug in purpose],
            details=details,
            attributes=attributes,
            evidence=Evidence(
                Method.CLI,
                source=one_line(source, "source", 1_000),
                basis=basis,
                stated_at=stated,
                valid_until=ends,
            ),
            renderer=parts.renderer,
            confirm=confirm,
            suppression_key=parts.suppression_key,
            now=now,
        )
        session.flush()
        reader = find_reader(session, address, parts.suppression_key)
        note(
            parts, session, "subscriber add", reader=reader.id if reader else None,
            newsletter=newsletter.slug,
            purposes=sorted(set(purpose)), confirm=confirm, outcome=str(outcome),
        )  # fmt: skip
        fields = show_reader(session, reader) if reader else {"email": email, "subscriber_id": None}
    if confirm:
        parts.doorbell.ring_send()
    answer(as_json, {**fields, "outcome": str(outcome)}, f"{address}: {outcome}.")


def _end_of_implied(since: datetime, valid_for: str, now: datetime) -> datetime:
    """Return when an implied consent ends; raises BadTime where that is over."""
    ends = parse_span(valid_for).after(since)
    if ends <= now:
        raise BadTime(f"This implied consent ended on {ends:%Y-%m-%d}: nothing was recorded.")
    return ends


@app.command("list", epilog=example("mailer subscriber list weekly"))
def list_all(
    newsletter_name: Annotated[
        str | None, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List readers, of one newsletter or of all."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name) if newsletter_name else None
        slug = newsletter.slug if newsletter else None
        rows = list(list_readers(session, newsletter))
    looked(parts, "subscriber list", newsletter=slug, readers=len(rows))
    answer_rows(
        as_json,
        rows,
        ("subscriber_id", "email", "name", "state", "subscriptions"),
        empty="No reader yet: share the sign-up page, or `mailer subscriber add`.",
    )


@app.command(epilog=example("mailer subscriber show amina@example.org --json"))
def show(email: Reader, as_json: AsJson = False) -> None:
    """Show where a reader stands."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        fields = show_reader(session, require_reader(session, email, parts.suppression_key))
    looked(parts, "subscriber show", reader=fields["subscriber_id"])
    answer_fields(as_json, fields)


@app.command(epilog=example("mailer subscriber history amina@example.org"))
def history(email: Reader, as_json: AsJson = False) -> None:
    """Answer "why did I (not) get it?" in one timeline.

    Consents, deliveries, feedback, and what operators did; who has looked is told by
    `mailer publisher trail`.
    """
    parts = open_installation()
    with reading(parts.sessions) as session:
        reader = require_reader(session, email, parts.suppression_key)
        rows = reader_history(session, reader, message_id_of=parts.renderer.message_id)
    looked(parts, "subscriber history", reader=reader.id)
    answer_rows(
        as_json,
        rows,
        ("at", "kind", "newsletter", "what"),
        empty=f"Nothing has happened with {email} yet.",
    )


@app.command(
    epilog=example(
        "mailer subscriber edit amina@example.org --locale fr",
        "mailer subscriber edit amina@example.org --newsletter weekly --topic politics",
    )
)
def edit(
    email: Reader,
    name: Annotated[str | None, Name] = None,
    locale: Annotated[str | None, Locale] = None,
    timezone: Annotated[str | None, Timezone] = None,
    attribute: Annotated[list[str] | None, Attributes] = None,
    topic: Annotated[list[str] | None, Topics] = None,
    no_topics: Annotated[
        bool, typer.Option("--no-topics", help="Of --newsletter: all of it again.")
    ] = False,
    newsletter_name: Annotated[
        str | None, typer.Option("--newsletter", help="Whose topics; needed with --topic.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given and keep the rest; an attribute without a value is removed.

    The topics given are all that the reader has of the newsletter then.
    """
    chooses = bool(topic) or no_topics
    if name is None and locale is None and timezone is None and not attribute and not chooses:
        raise typer.BadParameter("Say what to change, such as --name.")
    if topic and no_topics:
        raise typer.BadParameter("Give --topic or --no-topics, not both.")
    if chooses != bool(newsletter_name):
        raise typer.BadParameter("--topic and --no-topics go together with --newsletter.")
    changed = _attributes(attribute or [])
    parts = open_installation()
    with parts.sessions.begin() as session:
        found = require_reader(session, email, parts.suppression_key)
        reader = lock_reader(session, found.id) or found
        if name is not None:
            reader.name = one_line(name, "name", 100)
        if locale is not None:
            reader.locale = locale_code(locale)
        if timezone is not None:
            reader.timezone = _timezone(timezone)
        merged = {**reader.attributes, **changed}
        reader.attributes = {key: value for key, value in merged.items() if value}
        if newsletter_name:
            newsletter = find_newsletter(session, newsletter_name)
            choose_topics(session, reader, newsletter, topic or [])
        given = {
            "name": name, "locale": locale, "timezone": timezone, "attributes": attribute,
            "topics": chooses or None,
        }  # fmt: skip
        note(
            parts, session, "subscriber edit", reader=reader.id,
            fields=[field for field, value in given.items() if value is not None],
        )  # fmt: skip
        session.flush()
        fields = show_reader(session, reader)
    answer_fields(as_json, fields)


@app.command(
    epilog=example(
        "mailer subscriber unsubscribe amina@example.org --newsletter weekly",
        "mailer subscriber unsubscribe --file leavers.txt",
    )
)
def unsubscribe(
    email: Annotated[
        str | None, typer.Argument(metavar="EMAIL", help="The reader's address or id.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A text file with one address a line; - for standard input.")
    ] = None,
    newsletter_name: Annotated[
        str | None, typer.Option("--newsletter", help="Only this newsletter; else all.")
    ] = None,
    purpose: Annotated[
        str | None, typer.Option(help="Only this purpose of the newsletter.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw readers from what is named, and end what is on its way to them."""
    if (email is None) == (file is None):
        raise typer.BadParameter("Give one EMAIL, or --file with one address a line.")
    if purpose and not newsletter_name:
        raise typer.BadParameter("--purpose needs --newsletter.")
    lines = read_text(file).splitlines() if file else [email or ""]
    named = [line.strip() for line in lines if line.strip()]
    for address in named:
        if as_id(address) is None:
            parse_address(address)
    parts = open_installation()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name) if newsletter_name else None
        purposes = (
            [find_purpose(session, newsletter, purpose).id] if newsletter and purpose else None
        )
        readers = require_readers(session, named, parts.suppression_key)
    emails = dict(readers)
    slug = newsletter.slug if newsletter else None

    def note_one(session: Session, reader: int, left: int) -> None:
        note(
            parts, session, "subscriber unsubscribe", reader=reader, newsletter=slug,
            purpose=purpose, left=left,
        )  # fmt: skip

    with progress("withdrawing") as advance:
        done = withdraw_all(
            parts.sessions,
            sorted(number for number, _ in readers),
            Evidence(Method.CLI, source=f"{file}" if file else ""),
            newsletter_id=newsletter.id if newsletter else None,
            purpose_ids=purposes,
            now=parts.now,
            pause=let_others_write,
            note=note_one,
            advance=advance,
        )
    rows = [{"email": emails[number], "left": left} for number, left in done]
    total = sum(left for _, left in done)
    answer(
        as_json,
        rows,
        f"{len(rows)} reader{'s' * (len(rows) != 1)} left {total} subscriptions.",
    )


def _attributes(given: list[str]) -> dict[str, str]:
    for item in given:
        if not item.partition("=")[0].strip() or "=" not in item:
            raise typer.BadParameter(f"“{item}” is not KEY=VALUE.")
    pairs = (item.partition("=") for item in given)
    return {
        one_line(key, "attribute", 60): one_line(value, "attribute", 1_000)
        for key, _, value in pairs
    }


def _timezone(name: str) -> str:
    return zone(name).key if name else ""
