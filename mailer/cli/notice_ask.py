"""`mailer notice ask`: ask readers again when the wording has changed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mailer.cli.console import AsJson, answer, example
from mailer.cli.opening import open_installation
from mailer.cli.watching import say_if_nobody_works
from mailer.cli.when import parse_when
from mailer.services.campaigns.asking import Question, ask_again
from mailer.services.newsletters.lookup import find_newsletter, find_purpose
from mailer.store.engine import reading

app = typer.Typer()


@app.command(
    epilog=example(
        "mailer notice ask weekly --purpose updates",
        "mailer notice ask weekly --purpose updates --send",
        "mailer notice ask weekly --purpose updates --until 2027-03-01",
    )
)
def ask(
    newsletter_name: Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")],
    purpose: Annotated[str, typer.Option(help="Whose readers are asked.")],
    subject: Annotated[str, typer.Option(help="The mail's subject; else one of ours.")] = "",
    until: Annotated[
        str, typer.Option(help="Who was sent it and does not answer by then is written to no more.")
    ] = "",
    send: Annotated[bool, typer.Option("--send", help="Start it at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask readers whose consent stands under another wording than the one in force.

    Makes a campaign of the template renewal for every language with readers to ask; look at it
    with `mailer campaign preview`, start it with `mailer campaign send`, or at once with --send.
    Nobody is asked twice about the same version. Who does not answer keeps what they agreed to,
    unless --until is given.
    """
    parts = open_installation()
    now = parts.now()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name)
        purpose_id = find_purpose(session, newsletter, purpose).id
        answer_by = parse_when(until, newsletter.timezone, now=now) if until else None
    asked = ask_again(
        parts.sessions,
        purpose_id,
        subject=subject,
        answer_by=answer_by,
        send=send,
        operator=parts.operator,
        now=now,
    )
    rows = [_fields(question) for question in asked]
    for row in rows if send else ():
        parts.doorbell.ring_prepare(row["campaign_id"])
    if send:
        say_if_nobody_works(parts)
    answer(as_json, rows, "\n".join(_sentence(row) for row in rows))


def _fields(question: Question) -> dict[str, Any]:
    campaign, notice = question.campaign, question.notice
    return {
        "campaign_id": campaign.id,
        "subject": campaign.subject,
        "state": campaign.state,
        "readers": question.readers,
        "notice": {"version": notice.version, "sha256": notice.sha256, "locale": notice.locale},
        "answer_by": campaign.answer_by,
    }


def _sentence(row: dict[str, Any]) -> str:
    number, notice, readers = row["campaign_id"], row["notice"], row["readers"]
    asks = (
        f"Campaign {number} asks {readers} reader{'s' * (readers != 1)} to agree to version "
        f"{notice['version']} ({notice['locale']})"
    )
    if row["state"] != "draft":
        return f"{asks}; it is {row['state']}."
    return (
        f"{asks}. Look at it with `mailer campaign preview {number}`, send it with "
        f"`mailer campaign send {number}`."
    )
