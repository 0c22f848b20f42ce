"""`mailer campaign correct`: what has not gone goes corrected; who got the wrong one is told."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailer.cli.campaign_fields import campaign_sentence, left_out_sentences
from mailer.cli.console import AsJson, answer, example, read_text, say
from mailer.cli.noting import looked, note
from mailer.cli.opening import open_installation
from mailer.cli.watching import say_if_nobody_works
from mailer.services.articles.articles import find_article
from mailer.services.articles.images import IN_A_HURRY
from mailer.services.campaigns.correcting import (
    ENDED,
    Corrected,
    correct_campaign,
    refuse_incorrigible,
    try_correction,
)
from mailer.services.campaigns.correction_mail import draft_correction
from mailer.services.campaigns.gate import faults
from mailer.services.campaigns.new_content import NewContent, articles_of
from mailer.services.campaigns.reports import reached_by_older, reached_so_far, report
from mailer.services.mails.freezing import find_articles
from mailer.services.newsletters.lookup import find_campaign
from mailer.store.engine import reading
from mailer.store.models import Campaign

if TYPE_CHECKING:
    from mailer.wiring import Parts

app = typer.Typer()

_LOOK_AGAIN = 0.02


@app.command(
    epilog=example(
        "mailer campaign correct 7 --refresh",
        'mailer campaign correct 7 --html letter.html --subject "A letter" --dry-run',
        'mailer campaign correct 7 --notify --note "The date was wrong: it is 3 May."',
    )
)
def correct(
    campaign_id: Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")],
    subject: Annotated[str | None, typer.Option(help="Another subject line.")] = None,
    preheader: Annotated[
        str | None, typer.Option(help="Another text that inboxes show after the subject.")
    ] = None,
    article: Annotated[
        list[str] | None,
        typer.Option(help="The articles it is to hold, by id; repeatable, in the mail's order."),
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Its own articles, as they are now.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="A file with another body.")] = None,
    template: Annotated[
        str | None, typer.Option(help="Another template of `mailer template list`.")
    ] = None,
    said: Annotated[
        str | None,
        typer.Option("--note", help="What was wrong, in a sentence that readers see."),
    ] = None,
    notify: Annotated[
        bool,
        typer.Option(
            "--notify", help="Draft a correction mail to exactly those who got an earlier version."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say whom it would concern.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Replace what a campaign holds, for all whose mail has not gone.

    When this returns, no mail with the old content begins any more; the workers go on with the new
    one by themselves. Then it says how many got the old one. With --notify they are offered a
    correction mail: a draft, which is sent like any other.
    """
    given = [bool(article), refresh, html is not None]
    if sum(given) > 1:
        raise typer.BadParameter("Give one of --article, --refresh and --html.")
    new = NewContent(
        subject=subject, preheader=preheader, refresh=refresh,
        html=read_text(html) if html else None, template=template, note=said,
    )  # fmt: skip
    if new.is_nothing and not article and not notify and not dry_run:
        raise typer.BadParameter(
            "Give what is to be replaced: --subject, --preheader, --article, --refresh, --html or "
            "--template; or --notify."
        )
    parts = open_installation()
    with reading(parts.sessions) as session:
        campaign = find_campaign(session, campaign_id)
        number = campaign.id
        if article:
            new = replace(new, article_ids=tuple(find_article(session, a).id for a in article))
        copied = articles_of(campaign, new)
        articles = list(find_articles(session, campaign.newsletter, copied).values())
    new = replace(new, images=parts.images.keep(articles, within=IN_A_HURRY))
    if dry_run:
        _look(parts, number, new, as_json=as_json)
        return
    done: Corrected | None = None
    if not new.is_nothing:
        done = _replace(parts, number, new)
    drafted = _draft(parts, number, said) if notify else None
    with reading(parts.sessions) as session:
        fields = report(session, find_campaign(session, str(number)))
    for sentence in left_out_sentences(fields["images_left_out"]) if done else ():
        say(sentence)
    fields |= {
        "recalled": done.recalled if done else 0,
        "stopped_corrections": list(done.stopped) if done else [],
        "correction_campaign_id": drafted,
    }
    answer(as_json, fields, _sentence(fields, replaced=done is not None))


def _replace(parts: Parts, number: int, new: NewContent) -> Corrected:
    done = correct_campaign(
        parts.sessions,
        number,
        new,
        renderer=parts.renderer,
        now=parts.now,
        wait=lambda: time.sleep(_LOOK_AGAIN),
        note=lambda session, did: note(
            parts, session, "campaign correct", campaign=number, version=did.version,
            stopped=list(did.stopped) or None,
        ),
    )  # fmt: skip
    parts.doorbell.ring_prepare(number)
    parts.doorbell.ring_send()
    _say_if_it_will_be_held(parts, number)
    say_if_nobody_works(parts)
    return done


def _say_if_it_will_be_held(parts: Parts, number: int) -> None:
    """Say what the workers will find in the new content: the wrong one has been stopped first."""
    with reading(parts.sessions) as session:
        campaign = session.get_one(Campaign, number)
        if campaign.state in ENDED:
            return
        wrong = faults(session, campaign, renderer=parts.renderer, now=parts.now())
    if wrong:
        say(f"It will be held before its first mail. {wrong} Correct it once more.")


def _draft(parts: Parts, number: int, said: str | None) -> int:
    return draft_correction(
        parts.sessions,
        number,
        said=said,
        now=parts.now(),
        note=lambda session, draft: note(
            parts, session, "campaign correct", campaign=number, correction=draft.id
        ),
    )


def _look(parts: Parts, number: int, new: NewContent, *, as_json: bool) -> None:
    if not new.is_nothing:
        try_correction(parts.sessions, number, new, renderer=parts.renderer, now=parts.now())
    with reading(parts.sessions) as session:
        campaign = find_campaign(session, str(number))
        refuse_incorrigible(session, campaign)
        fields = report(session, campaign)
    looked(parts, "campaign correct", campaign=fields["campaign_id"], dry_run=True)
    got, unclear, remain = reached_so_far(fields)
    fields |= {"got_it": got, "may_have_got_it": unclear, "remain": remain}
    answer(
        as_json,
        fields,
        f"Nothing was changed (dry run). {_readers(got)} got campaign {fields['campaign_id']} as "
        f"it is now or was before, {unclear} more may have, and {remain} would get it corrected.",
    )


def _sentence(fields: dict[str, Any], *, replaced: bool) -> str:
    number = fields["campaign_id"]
    told = [campaign_sentence(fields)]
    if replaced:
        told.append(
            f"It holds version {fields['version']} now, and nothing with an earlier one goes any "
            "more."
        )
    if fields["stopped_corrections"]:
        stopped = ", ".join(str(each) for each in fields["stopped_corrections"])
        told.append(f"Cancelled, for it corrected with what is wrong now: campaign {stopped}.")
    draft = fields["correction_campaign_id"]
    got, unclear = reached_by_older(fields)
    if draft is not None:
        told.append(
            f"Made campaign {draft} as a draft, for those who got an earlier version. Look at it "
            f"with `mailer campaign preview {draft}`, send it with `mailer campaign send {draft}`."
        )
    elif got or unclear:
        more = f", and {unclear} more may have" if unclear else ""
        told.append(
            f"{_readers(got)} got an earlier version{more}. Tell them: `mailer campaign correct "
            f'{number} --notify --note "What was wrong"`.'
        )
    else:
        told.append("No reader got an earlier version.")
    return " ".join(told)


def _readers(number: int) -> str:
    return "1 reader" if number == 1 else f"{number:,} readers"
