"""`mailer campaign`: the verbs that move a campaign along its course."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailer.cli.campaign_fields import campaign_sentence
from mailer.cli.console import AsJson, Yes, answer, ask, example
from mailer.cli.gate import Force, let_pass
from mailer.cli.noting import note
from mailer.cli.opening import open_installation
from mailer.cli.pausing import let_others_write
from mailer.cli.watching import follow, say_if_nobody_works
from mailer.cli.when import parse_duration, parse_wall, parse_when
from mailer.domain.canary import CanaryOrder, order_canary
from mailer.services.campaigns.course import (
    cancel_campaign,
    pause_campaign,
    resume_campaign,
    schedule_campaign,
    start_campaign,
)
from mailer.services.campaigns.deciding import Decision, decide
from mailer.services.campaigns.gate import no_longer_held, waive
from mailer.services.campaigns.own_time import first_in_own_time, readers_zones
from mailer.services.campaigns.reports import report
from mailer.services.digests.approvals import approve_by_hand
from mailer.services.newsletters.lookup import find_campaign
from mailer.store.engine import reading

if TYPE_CHECKING:
    from mailer.wiring import Parts

app = typer.Typer()

CampaignId = Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")]
Watch = Annotated[bool, typer.Option("--watch", help="Follow it to the end.")]
CanarySize = Annotated[
    str,
    typer.Option(
        "--canary",
        metavar="SAMPLE",
        help="Send to a sample first, such as 1% or 500 readers, and to all if that goes well.",
    ),
]
CanaryLimit = Annotated[
    str,
    typer.Option(metavar="SHARE", help="Pause if more of the sample fail or bounce."),
]
CanaryWait = Annotated[
    str,
    typer.Option(metavar="TIME", help="Let bounces come back so long, such as 10m or 2h."),
]
_LIMIT, _WAIT = "3%", "10m"


@app.command(
    epilog=example(
        "mailer campaign send 7 --watch",
        "mailer campaign send 7 --over 3h",
        "mailer campaign send 7 --canary 1%",
        "mailer campaign send 7 --canary 500 --canary-limit 2% --canary-wait 30m",
    )
)
def send(
    campaign_id: CampaignId,
    over: Annotated[
        str, typer.Option(help="Spread the mails over a time, such as 90m, 3h or 1d.")
    ] = "",
    canary: CanarySize = "",
    canary_limit: CanaryLimit = _LIMIT,
    canary_wait: CanaryWait = _WAIT,
    force: Force = False,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Check the mail, fix the audience and hand the campaign to the workers.

    The check is that of `mailer campaign check`; errors keep the campaign from going.

    With --canary, a sample gets it first. When all of the sample have been tried and the wait is
    over, the campaign goes on by itself, or is paused and says why: also where more than 10% of
    the sample are still deferred. `mailer campaign resume` then sends to all.
    """
    spread = parse_duration(over) if over else timedelta()
    order = _canary(canary, canary_limit, canary_wait)
    parts = open_installation()
    forced = let_pass(parts, campaign_id, force=force)
    with parts.sessions.begin() as session:
        campaign = find_campaign(session, campaign_id)
        start_campaign(
            session, campaign, over=spread, in_own_time=False, canary=order, now=parts.now()
        )
        waive(campaign, forced, now=parts.now())
        session.flush()
        note(
            parts, session, "campaign send", campaign=campaign.id, over=over, canary=canary,
            forced=forced,
        )  # fmt: skip
        fields = report(session, campaign)
    parts.doorbell.ring_prepare(fields["campaign_id"])
    tell(parts, fields, watch=watch, as_json=as_json)


@app.command(
    epilog=example(
        "mailer campaign schedule 7 --at 2026-12-24T07:00",
        "mailer campaign schedule 7 --at 2026-12-24T07:00 --reader-local-time",
        "mailer campaign schedule 7 --at 2026-12-24T07:00 --canary 1%",
    )
)
def schedule(
    campaign_id: CampaignId,
    at: Annotated[str, typer.Option(help="When, in the newsletter's time zone.")],
    reader_local_time: Annotated[
        bool,
        typer.Option(
            "--reader-local-time",
            help="When each reader's own clock shows that time; unknown zones: the newsletter's.",
        ),
    ] = False,
    canary: CanarySize = "",
    canary_limit: CanaryLimit = _LIMIT,
    canary_wait: CanaryWait = _WAIT,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Check the mail, and let the workers send a draft at a time.

    With --reader-local-time it is frozen when the first reader's clock shows that time, and comes
    to everybody when their own clock does.

    --canary does what it does in `mailer campaign send`.
    """
    order = _canary(canary, canary_limit, canary_wait)
    wall = parse_wall(at) if reader_local_time else None
    parts = open_installation()
    with reading(parts.sessions) as session:  # looks at all readers: nobody waits for that
        newsletter = find_campaign(session, campaign_id).newsletter
        if wall is None:
            ahead = parse_when(at, newsletter.timezone, now=parts.now())
        else:
            ahead = first_in_own_time(newsletter, wall, readers_zones(session))
    forced = let_pass(parts, campaign_id, force=force)
    with parts.sessions.begin() as session:
        campaign = find_campaign(session, campaign_id)
        now = parts.now()
        schedule_campaign(session, campaign, ahead, local_at=wall, canary=order, now=now)
        waive(campaign, forced, now=now)
        session.flush()
        note(
            parts, session, "campaign schedule", campaign=campaign.id, at=ahead.isoformat(),
            local_at=campaign.local_at, canary=canary, forced=forced,
        )  # fmt: skip
    with reading(parts.sessions) as session:  # counts the audience: nobody waits for that
        fields = report(session, find_campaign(session, campaign_id))
    tell(parts, fields, as_json=as_json)


@app.command(epilog=example("mailer campaign pause 7"))
def pause(
    campaign_id: CampaignId,
    reason: Annotated[str, typer.Option(help="Why, in your words.")] = "by hand",
    as_json: AsJson = False,
) -> None:
    """Stop handing out mails; what a relay has taken already is not called back."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        campaign = find_campaign(session, campaign_id)
        pause_campaign(session, campaign, reason=reason)
        session.flush()
        note(parts, session, "campaign pause", campaign=campaign.id)
        fields = report(session, campaign)
    answer(as_json, fields, campaign_sentence(fields))


@app.command(epilog=example("mailer campaign resume 7 --watch"))
def resume(
    campaign_id: CampaignId, force: Force = False, watch: Watch = False, as_json: AsJson = False
) -> None:
    """Go on where a paused campaign stood.

    One that was paused by its canary goes to all. One that the check held is checked again.
    """
    parts = open_installation()
    forced = let_pass(parts, campaign_id, force=force, begins=False)
    with parts.sessions.begin() as session:
        campaign = find_campaign(session, campaign_id)
        resume_campaign(session, campaign, now=parts.now())
        waive(campaign, forced, now=parts.now())
        no_longer_held(session, campaign)
        session.flush()
        note(parts, session, "campaign resume", campaign=campaign.id, forced=forced)
        fields = report(session, campaign)
    parts.doorbell.ring_prepare(fields["campaign_id"])
    parts.doorbell.ring_send()
    tell(parts, fields, watch=watch, as_json=as_json)


@app.command(epilog=example("mailer campaign cancel 7 --yes"))
def cancel(
    campaign_id: CampaignId,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """End a campaign for good; what has been sent stays sent."""
    ask(f"Campaign {campaign_id} cannot be sent any more after this.", yes=yes)
    parts = open_installation()
    with parts.sessions.begin() as session:
        campaign = find_campaign(session, campaign_id)
        unsent = cancel_campaign(session, campaign, now=parts.now())
        no_longer_held(session, campaign)
        session.flush()
        note(parts, session, "campaign cancel", campaign=campaign.id, unsent=unsent)
        fields = report(session, campaign)
    answer(as_json, fields, campaign_sentence(fields))


@app.command(epilog=example("mailer campaign approve 7 --watch"))
def approve(
    campaign_id: CampaignId, force: Force = False, watch: Watch = False, as_json: AsJson = False
) -> None:
    """Let a campaign go that waits for its editor's word, on your own; `cancel` stops it."""
    parts = open_installation()
    forced = let_pass(parts, campaign_id, force=force, begins=False)
    with parts.sessions.begin() as session:
        campaign = find_campaign(session, campaign_id)
        approve_by_hand(session, campaign, parts.operator, forced=forced, now=parts.now())
        waive(campaign, forced, now=parts.now())
        session.flush()
        fields = report(session, campaign)
    parts.doorbell.ring_prepare(fields["campaign_id"])
    tell(parts, fields, watch=watch, as_json=as_json)


@app.command(epilog=example("mailer campaign retry 7 --state failed"))
def retry(
    campaign_id: CampaignId,
    state: Annotated[str, typer.Option(help="Only failed can be tried again.")] = "failed",
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Try once more what had failed for good."""
    if state != "failed":
        raise typer.BadParameter(f"--state is “{state}”: only failed deliveries can be retried.")
    parts = open_installation()
    with reading(parts.sessions) as session:
        number = find_campaign(session, campaign_id).id
    again = decide(
        parts.sessions,
        number,
        Decision.RETRY,
        now=parts.now,
        pause=let_others_write,
        note=lambda session, deliveries: note(
            parts, session, "campaign retry", campaign=number, deliveries=deliveries
        ),
    )
    with reading(parts.sessions) as session:
        fields = {**report(session, find_campaign(session, campaign_id)), "retried": again}
    parts.doorbell.ring_send()
    tell(parts, fields, watch=watch and bool(again), as_json=as_json)


def _canary(size: str, limit: str, wait: str) -> CanaryOrder | None:
    if size:
        return order_canary(size, limit, parse_duration(wait))
    if (limit, wait) != (_LIMIT, _WAIT):
        raise typer.BadParameter("--canary-limit and --canary-wait need --canary, such as 1%.")
    return None


def tell(parts: Parts, fields: dict[str, Any], *, as_json: bool, watch: bool = False) -> None:
    """Say what happens now; with `watch`, what happened."""
    say_if_nobody_works(parts)
    if watch:
        fields = {**fields, **follow(parts, int(fields["campaign_id"]))}
    answer(as_json, fields, campaign_sentence(fields))
