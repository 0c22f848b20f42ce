"""`mailer campaign`: making campaigns and looking at them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mailer.cli import (
    campaign_breaking,
    campaign_check,
    campaign_correct,
    campaign_course,
    campaign_reconcile,
)
from mailer.cli.campaign_fields import canary_sentence, left_out_sentences, versions_sentence
from mailer.cli.console import (
    AsJson,
    answer,
    answer_fields,
    answer_rows,
    example,
    print_json,
    read_text,
    say,
)
from mailer.cli.noting import looked, note
from mailer.cli.opening import open_installation
from mailer.cli.watching import say_if_nobody_works
from mailer.cli.when import parse_when
from mailer.domain.addresses import parse_address
from mailer.domain.deliveries import DeliveryState, Lane
from mailer.domain.errors import Refusal
from mailer.services.articles.articles import find_article
from mailer.services.articles.images import IN_A_HURRY, IN_PEACE
from mailer.services.campaigns.drafts import create_campaign, list_campaigns, send_test
from mailer.services.campaigns.reports import deliveries, report
from mailer.services.mails.previewing import preview
from mailer.services.newsletters.lookup import find_campaign, find_newsletter
from mailer.services.readers.readers import require_reader
from mailer.store.engine import reading

app = typer.Typer()
app.add_typer(campaign_check.app)
app.add_typer(campaign_course.app)
app.add_typer(campaign_breaking.app)
app.add_typer(campaign_correct.app)
app.add_typer(campaign_reconcile.app)

CampaignId = Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")]
NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]

_LANES = {"regular": Lane.REGULAR, "breaking": Lane.BREAKING}


class UnknownChoice(Refusal):
    """A word that is none of the words there are."""


@app.command(
    epilog=example(
        'mailer campaign create weekly --purpose updates --subject "This week" '
        "--article 3 --article 5",
        'mailer campaign create weekly --purpose updates --subject "A letter" --html letter.html',
    )
)
def create(
    newsletter_name: NewsletterName,
    purpose: Annotated[str, typer.Option(help="Which consent it is for.")],
    subject: Annotated[str, typer.Option(help="The subject line.")],
    preheader: Annotated[str, typer.Option(help="What inboxes show after the subject.")] = "",
    article: Annotated[
        list[str] | None, typer.Option(help="An article's id; repeatable, in the mail's order.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="A file with the body, else articles.")] = None,
    template: Annotated[
        str | None, typer.Option(help="A template of `mailer template list`; else by what it is.")
    ] = None,
    lane: Annotated[str, typer.Option(help="regular, or breaking: goes first.")] = "regular",
    expires: Annotated[str | None, typer.Option(help="Not sent any more after this time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Freeze a content into a draft; nothing is sent before `mailer campaign send`."""
    if html is not None and article:
        raise typer.BadParameter("Give --article or --html, not both.")
    if html is None and not article:
        raise typer.BadParameter("Give --article ID or --html FILE.")
    if lane not in _LANES:
        raise typer.BadParameter(f"--lane is “{lane}”: choose {' or '.join(_LANES)}.")
    body = read_text(html) if html else None
    parts = open_installation()
    with reading(parts.sessions) as session:
        find_newsletter(session, newsletter_name)
        articles = [find_article(session, given) for given in article or ()]
    hurries = _LANES[lane] is Lane.BREAKING
    images = parts.images.keep(articles, within=IN_A_HURRY if hurries else IN_PEACE)
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        now = parts.now()
        campaign = create_campaign(
            session,
            newsletter,
            purpose=purpose,
            subject=subject,
            preheader=preheader,
            article_ids=[each.id for each in articles],
            images=images,
            html=body,
            template=template,
            lane=_LANES[lane],
            expires_at=parse_when(expires, newsletter.timezone, now=now) if expires else None,
            now=now,
        )
        session.flush()
        preview(session, campaign, parts.renderer, now=now)
        fields = report(session, campaign)
    for sentence in left_out_sentences(fields["images_left_out"]):
        say(sentence)
    answer(
        as_json,
        fields,
        f"Made campaign {fields['campaign_id']} as a draft. Look at it with `mailer campaign "
        f"preview {fields['campaign_id']}`, send it with `mailer campaign send "
        f"{fields['campaign_id']}`.",
    )


@app.command("list", epilog=example("mailer campaign list weekly"))
def list_all(
    newsletter_name: Annotated[
        str | None, typer.Argument(metavar="NEWSLETTER", help="Short name or id; else all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List campaigns, newest first."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name) if newsletter_name else None
        rows = [report(session, campaign) for campaign in list_campaigns(session, newsletter)]
    answer_rows(
        as_json,
        rows,
        ("campaign_id", "newsletter", "purpose", "subject", "state", "audience", "counts"),
        empty="No campaign yet: `mailer campaign create` or `mailer digest run`.",
    )


def _show(campaign_id: CampaignId, as_json: AsJson = False) -> None:
    """Show a campaign's state and the number of its deliveries in every state."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        fields = report(session, find_campaign(session, campaign_id))
    if not as_json:
        fields["canary"] = canary_sentence(fields["canary"]) or None
        fields["images_left_out"] = left_out_sentences(fields["images_left_out"]) or None
        fields["versions"] = versions_sentence(fields["versions"])
        if fields["version"] == 1:
            del fields["version"], fields["versions"]
    answer_fields(as_json, fields)


app.command("show", epilog=example("mailer campaign show 7"))(_show)
app.command("report", epilog=example("mailer campaign report 7 --json"))(_show)


@app.command("preview", epilog=example("mailer campaign preview 7 --html > preview.html"))
def show_preview(
    campaign_id: CampaignId,
    as_email: Annotated[
        str | None, typer.Option("--as", help="As this reader sees it; else a sample reader.")
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="The HTML part.")] = False,
    text: Annotated[bool, typer.Option("--text", help="The text part (the default).")] = False,
    eml: Annotated[bool, typer.Option("--eml", help="The whole mail as it goes out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a reader will see, made by the very renderer that sends."""
    if html + text + eml > 1:
        raise typer.BadParameter("Choose one of --html, --text and --eml.")
    parts = open_installation()
    with reading(parts.sessions) as session:
        campaign = find_campaign(session, campaign_id)
        reader = require_reader(session, as_email, parts.suppression_key) if as_email else None
        seen = preview(session, campaign, parts.renderer, now=parts.now(), reader=reader)
        left_out = left_out_sentences(campaign.content.get("images_left_out", []))
    if reader:
        looked(parts, "campaign preview", reader=reader.id, campaign=campaign.id)
    for sentence in left_out:
        say(sentence)
    if as_json:
        print_json({"subject": seen.subject, "html": seen.html, "text": seen.text})
    elif eml:
        sys.stdout.buffer.write(seen.eml)
    elif html:
        typer.echo(seen.html)
    else:
        typer.echo(f"Subject: {seen.subject}\n\n{seen.text}")


@app.command("test", epilog=example("mailer campaign test 7 --to editor@example.org"))
def send_a_test(
    campaign_id: CampaignId,
    to: Annotated[str, typer.Option(help="Who gets it.")],
    as_json: AsJson = False,
) -> None:
    """Send the mail as it is now to one address, whatever the campaign's state."""
    address = parse_address(to)
    parts = open_installation()
    with reading(parts.sessions) as session:
        number = find_campaign(session, campaign_id).id
    delivery_id = send_test(
        parts.sessions,
        number,
        address,
        renderer=parts.renderer,
        suppression_key=parts.suppression_key,
        now=parts.now(),
        note=lambda session, hashed: note(
            parts, session, "campaign test", campaign=number, address_hash=hashed
        ),
    )
    parts.doorbell.ring_send()
    say_if_nobody_works(parts)
    answer(
        as_json,
        {
            "delivery_id": delivery_id,
            "to": str(address),
            "message_id": parts.renderer.message_id(delivery_id),
        },
        f"A test of campaign {campaign_id} is on its way to {address}.",
    )


@app.command("deliveries", epilog=example("mailer campaign deliveries 7 --state failed"))
def list_deliveries(
    campaign_id: CampaignId,
    state: Annotated[str | None, typer.Option(help="Only in this state, such as failed.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what became of every single mail."""
    if state is not None and state not in set(DeliveryState):
        raise UnknownChoice(
            f"“{state}” is no state of a delivery: there are {', '.join(DeliveryState)}."
        )
    parts = open_installation()
    with reading(parts.sessions) as session:
        campaign = find_campaign(session, campaign_id)
        rows: list[dict[str, Any]] = list(
            deliveries(
                session,
                campaign,
                message_id_of=parts.renderer.message_id,
                state=DeliveryState(state) if state else None,
            )
        )
    looked(
        parts, "campaign deliveries", campaign=campaign.id, state=state, deliveries=len(rows)
    )  # fmt: skip
    version = ("version",) if campaign.version > 1 else ()
    answer_rows(
        as_json,
        rows,
        ("email", "state", *version, "attempts", "sent_at", "last_reply", "message_id"),
        empty=f"Campaign {campaign_id} has no delivery{f' in state {state}' if state else ''}.",
    )
