"""`mailer campaign breaking`: from a page's address to the first mail out, in one command."""

from __future__ import annotations

from typing import Annotated

import typer

from mailer.cli.campaign_course import Watch, tell
from mailer.cli.campaign_fields import left_out_sentences
from mailer.cli.console import AsJson, Yes, ask, example, say
from mailer.cli.gate import Force, let_pass
from mailer.cli.noting import note
from mailer.cli.opening import open_installation
from mailer.domain.deliveries import Lane
from mailer.services.articles.articles import add_article, read_page
from mailer.services.articles.images import IN_A_HURRY
from mailer.services.campaigns.checking import AT_ONCE
from mailer.services.campaigns.course import start_campaign
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.campaigns.gate import waive
from mailer.services.campaigns.reports import report
from mailer.services.mails.previewing import preview
from mailer.services.newsletters.lookup import find_campaign, find_newsletter

app = typer.Typer()


@app.command(
    epilog=example(
        "mailer campaign breaking weekly https://news.example.org/2026/flood --purpose updates",
        "mailer campaign breaking weekly https://news.example.org/2026/flood --purpose updates "
        '--subject "The river is rising" --yes --watch',
    )
)
def breaking(
    newsletter_name: Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")],
    location: Annotated[str, typer.Argument(metavar="URL|FILE", help="The story's page.")],
    purpose: Annotated[str, typer.Option(help="Which consent it is for.")],
    subject: Annotated[str, typer.Option(help="The subject line; else the story's title.")] = "",
    url: Annotated[
        str | None, typer.Option(help="Where a saved page came from, if it does not say so itself.")
    ] = None,
    yes: Yes = False,
    force: Force = False,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Read a story and send it at once, before everything else that is being sent.

    Asks once, with the number of readers. Whoever says no keeps a draft; so does who meets errors
    of the check, which takes three seconds at most and judges no spam.
    """
    parts = open_installation()
    with parts.sessions.begin() as session:
        find_newsletter(session, newsletter_name)
    draft = read_page(location, fetch=parts.fetch, url=url)
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        now = parts.now()
        article, _ = add_article(session, newsletter, draft, now=now)
    images = parts.images.keep([article], within=IN_A_HURRY)
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        campaign = create_campaign(
            session, newsletter, purpose=purpose, subject=subject or article.title,
            article_ids=[article.id], images=images, lane=Lane.BREAKING, now=now,
        )  # fmt: skip
        session.flush()
        preview(session, campaign, parts.renderer, now=now)
        fields = report(session, campaign)
    for sentence in left_out_sentences(fields["images_left_out"]):
        say(sentence)
    forced = let_pass(parts, str(fields["campaign_id"]), force=force, effort=AT_ONCE)
    readers = "1 reader" if fields["audience"] == 1 else f"{fields['audience']:,} readers"
    ask(
        f"“{fields['subject']}” goes to {readers} now, before all other mails. "
        f"It is campaign {fields['campaign_id']}, a draft so far.",
        yes=yes,
    )
    with parts.sessions.begin() as session:
        campaign = find_campaign(session, str(fields["campaign_id"]))
        start_campaign(session, campaign, in_own_time=False, now=parts.now())
        waive(campaign, forced, now=parts.now())
        session.flush()
        note(parts, session, "campaign breaking", campaign=campaign.id, forced=forced)
        fields = report(session, campaign)
    parts.doorbell.ring_prepare(fields["campaign_id"])
    tell(parts, fields, watch=watch, as_json=as_json)
