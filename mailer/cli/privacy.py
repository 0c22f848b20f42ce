"""`mailer privacy`: what we hold of one person, and forgetting it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailer.cli import privacy_rights
from mailer.cli.console import AsJson, Yes, answer, ask, example, say
from mailer.cli.opening import open_installation
from mailer.domain.addresses import EmailAddress, parse_address
from mailer.domain.consent import Method
from mailer.services.newsletters.lookup import as_id
from mailer.services.privacy.erasing import Cleaned, Erased, clean_up, erase, left_in
from mailer.services.readers.readers import require_reader
from mailer.store.actions import note_action
from mailer.store.engine import reading

if TYPE_CHECKING:
    from mailer.wiring import Parts

app = typer.Typer()
app.add_typer(privacy_rights.app)


@app.command("erase", epilog=example("mailer privacy erase amina@example.org --yes"))
def erase_person(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The reader's address or id.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Forget a reader: their row, key, evidence, and every word about them.

    What they were sent stays as numbers, and the consent log as it is. Nobody but they themselves
    can sign them up again. Doing it again finishes what was interrupted.
    """
    parts = open_installation()
    address = _address_of(parts, email)
    ask(f"Everything that is known of {address} is deleted for good.", yes=yes)
    with parts.sessions.begin() as session:
        erased = erase(
            session, address, key=parts.suppression_key, method=Method.CLI.value, now=parts.now()
        )
        note_action(
            session,
            parts.operator,
            "privacy erase",
            now=parts.now(),
            subscriber_id=erased.subscriber_id,
            details={} if erased.subscriber_id else {"address_hash": erased.address_hash},
        )
    cleaned = clean_up(parts.sessions, parts.places, erased, now=parts.now)
    left = [str(path) for path in left_in(parts.places, erased.person)]
    answer(as_json, _document(email, erased, cleaned, left), _sentence(address, erased, cleaned))
    if cleaned.waits:
        say(f"{cleaned.waits} The workers finish it, or this command once more.")
    if left:
        say(
            "The address still stands in these files, which are yours to keep or to delete (a "
            f"backup forgets again when it is restored): {', '.join(left)}"
        )


def _address_of(parts: Parts, email: str) -> EmailAddress:
    if as_id(email) is None:
        return parse_address(email)
    with reading(parts.sessions) as session:
        return parse_address(require_reader(session, email, parts.suppression_key).email)


def _document(email: str, erased: Erased, cleaned: Cleaned, left: list[str]) -> dict[str, Any]:
    found = erased.found
    return {
        "email": email,
        "subscriber_id": erased.subscriber_id,
        "erased_before": erased.before,
        "withdrawn": found.withdrawn,
        "evidence": found.evidence,
        "deliveries": found.deliveries,
        "tests": found.tests,
        "bounces": found.bounces,
        "inbox": cleaned.mails,
        "finished": not cleaned.waits,
        "still_in": left,
    }


def _sentence(address: EmailAddress, erased: Erased, cleaned: Cleaned) -> str:
    found = erased.found
    besides = _listed(
        (found.tests, "test mails"),
        (found.bounces, "unmatched bounces"),
        (cleaned.mails, "mails in the built-in inbox"),
    )
    if erased.subscriber_id is None and erased.before is not None:
        done = f"{address} was erased before, on {erased.before:%Y-%m-%d}"
        if erased.sought is None:
            done = f"{done}, and that is finished now"
        return f"{done}; forgotten now: {besides}." if besides else f"{done}; nothing was left."
    if erased.subscriber_id is None:
        none = f"No reader has the address {address}; it is suppressed now"
        return f"{none}. Forgotten: {besides}." if besides else f"{none}."
    known = _listed(
        (found.evidence, "consent events' evidence"), (found.deliveries, "deliveries' words")
    )
    parts = ", ".join(part for part in (known, besides) if part)
    return f"{address} (reader {erased.subscriber_id}) is erased. Forgotten: {parts or 'the row'}."


def _listed(*numbers: tuple[int, str]) -> str:
    return ", ".join(f"{number} {what}" for number, what in numbers if number)
