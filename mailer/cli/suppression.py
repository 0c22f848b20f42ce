"""`mailer suppression`: addresses that must not be mailed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy.orm import Session

from mailer.cli import suppression_files
from mailer.cli.console import AsJson, Yes, answer, answer_rows, ask, example
from mailer.cli.noting import looked, note
from mailer.cli.opening import open_installation
from mailer.domain.addresses import address_hash, parse_address
from mailer.domain.errors import Refusal
from mailer.domain.suppression import SCOPE_ALL, SuppressionReason
from mailer.services.newsletters.lookup import find_newsletter
from mailer.store.engine import reading
from mailer.store.models import Suppression
from mailer.store.readers import reader_with_hash
from mailer.store.suppressions import lift, list_suppressions, suppress

if TYPE_CHECKING:
    from mailer.wiring import Parts

app = typer.Typer()
app.add_typer(suppression_files.app)

Address = Annotated[str, typer.Argument(metavar="EMAIL", help="The address.")]
Scope = Annotated[
    str | None, typer.Option("--newsletter", help="Only for this newsletter; else for all.")
]


class NotSuppressed(Refusal):
    """The address does not stand on the list."""


@app.command(epilog=example("mailer suppression add angry@example.org --detail 'asked by phone'"))
def add(
    email: Address,
    newsletter: Scope = None,
    detail: Annotated[str, typer.Option(help="Why, in your words.")] = "",
    as_json: AsJson = False,
) -> None:
    """Never mail an address again, and end what is on its way to it."""
    parts = open_installation()
    hashed = address_hash(parse_address(email), parts.suppression_key)
    with parts.sessions.begin() as session:
        scope = _scope(session, newsletter)
        added = suppress(
            session,
            hashed,
            SuppressionReason.OPERATOR,
            now=parts.now(),
            scope=scope,
            detail=detail,
        )
        _note(parts, session, "suppression add", hashed, scope)
    words = "is on the list now" if added else "stood on the list already"
    answer(as_json, {"email": email, "scope": scope, "added": added}, f"{email} {words} ({scope}).")


@app.command(epilog=example("mailer suppression remove reader@example.org --yes"))
def remove(
    email: Address, newsletter: Scope = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Take an address off the list, so that it may be mailed again where consent stands."""
    parts = open_installation()
    hashed = address_hash(parse_address(email), parts.suppression_key)
    ask(f"{email} may then be mailed again.", yes=yes)
    with parts.sessions.begin() as session:
        scope = _scope(session, newsletter)
        if not lift(session, hashed, scope=scope, now=parts.now()):
            raise NotSuppressed(
                f"{email} does not stand on the list for {scope}: see `mailer suppression list`."
            )
        _note(parts, session, "suppression remove", hashed, scope)
    answer(as_json, {"email": email, "scope": scope}, f"{email} is off the list ({scope}).")


@app.command("list", epilog=example("mailer suppression list --json"))
def list_all(as_json: AsJson = False) -> None:
    """List all suppressed addresses; one without a reader is known by its hash alone."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        rows = [_fields(*each) for each in list_suppressions(session)]
    looked(parts, "suppression list", addresses=len(rows))
    answer_rows(
        as_json,
        rows,
        ("email", "scope", "reason", "detail", "since", "address_hash"),
        empty="No address is suppressed.",
    )


def _note(parts: Parts, session: Session, action: str, hashed: str, scope: str) -> None:
    """Name the reader by number; an address that no reader has, by its keyed hash."""
    reader = reader_with_hash(session, hashed)
    if reader is not None:
        note(parts, session, action, reader=reader, scope=scope)
    else:
        note(parts, session, action, address_hash=hashed, scope=scope)


def _scope(session: Session, newsletter: str | None) -> str:
    return find_newsletter(session, newsletter).slug if newsletter else SCOPE_ALL


def _fields(suppression: Suppression, email: str | None) -> dict[str, Any]:
    return {
        "email": email,
        "scope": suppression.scope,
        "reason": suppression.reason,
        "detail": suppression.detail,
        "since": suppression.created_at,
        "address_hash": suppression.address_hash,
    }
