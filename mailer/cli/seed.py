"""`mailer seed`: addresses of the house that get a copy of every campaign."""

from __future__ import annotations

from typing import Annotated

import typer

from mailer.cli.console import AsJson, answer, answer_rows, example
from mailer.cli.noting import looked, note
from mailer.cli.opening import open_installation
from mailer.domain.addresses import parse_address
from mailer.services.campaigns.seeds import add_seed, list_seeds, remove_seed
from mailer.services.newsletters.lookup import find_newsletter
from mailer.store.engine import reading

app = typer.Typer()

NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="An address of the house.")]


@app.command(epilog=example("mailer seed add weekly editor@example.org"))
def add(newsletter_name: NewsletterName, email: Email, as_json: AsJson = False) -> None:
    """Let an address get a copy of every campaign, as readers get it; it counts as no reader."""
    address = parse_address(email)
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        hashed = add_seed(session, newsletter, address, parts.suppression_key, now=parts.now())
        note(parts, session, "seed add", newsletter=newsletter.slug, address_hash=hashed)
        fields = {"newsletter": newsletter.slug, "seed": str(address)}
    answer(as_json, fields, f"{address} gets a copy of every campaign of {fields['newsletter']}.")


@app.command("list", epilog=example("mailer seed list weekly"))
def list_all(newsletter_name: NewsletterName, as_json: AsJson = False) -> None:
    """List a newsletter's seed addresses."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name)
        rows = [
            {"seed": seed.email, "added_at": seed.added_at}
            for seed in list_seeds(session, newsletter)
        ]
    looked(parts, "seed list", newsletter=newsletter.slug)
    answer_rows(
        as_json,
        rows,
        ("seed", "added_at"),
        empty=f"No seed yet: `mailer seed add {newsletter.slug} EMAIL`.",
    )


@app.command(epilog=example("mailer seed remove weekly editor@example.org"))
def remove(newsletter_name: NewsletterName, email: Email, as_json: AsJson = False) -> None:
    """Let an address get no more copies."""
    address = parse_address(email)
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        hashed = remove_seed(session, newsletter, address, parts.suppression_key)
        note(parts, session, "seed remove", newsletter=newsletter.slug, address_hash=hashed)
        fields = {"newsletter": newsletter.slug, "removed": str(address)}
    answer(as_json, fields, f"{address} gets no more copies.")
