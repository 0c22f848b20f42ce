"""The check that stands before `send`, `schedule`, `breaking`, `resume` and `approve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailer.checking.findings import Level
from mailer.cli.console import say
from mailer.services.campaigns.checking import BEFORE_SENDING, Effort, check_campaign
from mailer.services.campaigns.course import refuse_to_start
from mailer.services.campaigns.gate import is_to_be_checked, refuse_errors
from mailer.services.newsletters.lookup import find_campaign
from mailer.store.engine import reading

if TYPE_CHECKING:
    from mailer.wiring import Parts

Force = Annotated[
    bool,
    typer.Option("--force", help="Send also what the check finds errors in; that is recorded."),
]


def let_pass(
    parts: Parts,
    name: str,
    *,
    force: bool,
    effort: Effort = BEFORE_SENDING,
    begins: bool = True,
) -> list[str]:
    """Check a campaign that has not begun; return the names of what `force` lets pass.

    Raises CheckFailed for errors otherwise, and, where it `begins` now, what would keep it from
    that anyway. It is called before the transaction that starts the campaign: it may take seconds.
    """
    with reading(parts.sessions) as session:
        campaign = find_campaign(session, name)
        if not is_to_be_checked(campaign):
            return []
        if begins:
            refuse_to_start(session, campaign, now=parts.now())
        number = campaign.id
    report = check_campaign(
        parts.sessions, number, renderer=parts.renderer, asked=parts.asked, effort=effort,
        now=parts.now(),
    )  # fmt: skip
    if not force:
        refuse_errors(report)
    warnings = sum(finding.level is Level.WARNING for finding in report.findings)
    if warnings:
        counted = "a warning" if warnings == 1 else f"{warnings} warnings"
        say(f"The check found {counted}: see `mailer campaign check {number}`.")
    return sorted({finding.check for finding in report.errors})
