"""`mailer campaign reconcile`: settle uncertain deliveries, by a relay's log or by a decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailer.cli.campaign_fields import campaign_sentence
from mailer.cli.console import AsJson, Yes, answer, ask, example, progress, say, shown
from mailer.cli.noting import looked, note
from mailer.cli.opening import open_installation
from mailer.cli.pausing import let_others_write
from mailer.domain.evidence import Said
from mailer.domain.schedule import zone
from mailer.inbound import open_log
from mailer.services.campaigns.deciding import Decision, decide
from mailer.services.campaigns.reports import report
from mailer.services.delivery.reconciling import Inquiry, begin_inquiry, described, settle_findings
from mailer.services.newsletters.lookup import find_campaign
from mailer.store.engine import reading

if TYPE_CHECKING:
    from mailer.wiring import Parts

app = typer.Typer()

_MOST_NAMED = 20


@app.command(
    "reconcile",
    epilog=example(
        "mailer campaign reconcile 7 --log /var/log/mail.log.1 --log /var/log/mail.log",
        "mailer campaign reconcile 7 --log mail.log.2.gz --log-zone Africa/Lagos --resend-missing",
        "mailer campaign reconcile 7 --presume sent",
    ),
)
def reconcile_uncertain(
    campaign_id: Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")],
    log: Annotated[
        list[Path] | None,
        typer.Option(help="The relay's log (Postfix, Exim; .gz too; - for standard input)."),
    ] = None,
    log_zone: Annotated[
        str, typer.Option(help="The zone of times without one; else this machine's.")
    ] = "",
    resend_missing: Annotated[
        bool, typer.Option("--resend-missing", help="Send again what the log proves is not there.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the log proves, and change nothing.")
    ] = False,
    presume: Annotated[
        str, typer.Option(help="Without a log: sent, or resend (may arrive twice).")
    ] = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Settle deliveries of which nobody knows whether the relay took them."""
    if bool(log) == bool(presume):
        raise typer.BadParameter("Give the relay's log with --log, or a decision with --presume.")
    if presume and (log_zone or resend_missing or dry_run):
        raise typer.BadParameter("--log-zone, --resend-missing and --dry-run go with --log.")
    if log:
        _by_log(campaign_id, log, log_zone, resend=resend_missing, dry_run=dry_run, as_json=as_json)
    else:
        _by_decision(campaign_id, presume, yes=yes, as_json=as_json)


def _by_decision(campaign_id: str, presume: str, *, yes: bool, as_json: bool) -> None:
    if presume not in ("sent", "resend"):
        raise typer.BadParameter(f"--presume is “{presume}”: choose sent or resend.")
    if presume == "resend":
        ask("Readers who have the mail already get it a second time.", yes=yes)
    parts = open_installation()
    with reading(parts.sessions) as session:
        number = find_campaign(session, campaign_id).id
    settled = decide(
        parts.sessions,
        number,
        Decision(presume),
        now=parts.now,
        pause=let_others_write,
        note=lambda session, deliveries: note(
            parts, session, "campaign reconcile", campaign=number, presumed=presume,
            deliveries=deliveries,
        ),
    )  # fmt: skip
    with reading(parts.sessions) as session:
        fields = {**report(session, find_campaign(session, campaign_id)), "reconciled": settled}
    parts.doorbell.ring_send()
    answer(as_json, fields, f"Settled {settled}. {campaign_sentence(fields)}")


def _by_log(
    campaign_id: str,
    paths: list[Path],
    log_zone: str,
    *,
    resend: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    named_zone = zone(log_zone) if log_zone else None
    parts = open_installation()
    with reading(parts.sessions) as session:
        inquiry = begin_inquiry(
            session,
            find_campaign(session, campaign_id),
            identity=parts.identity,
            zone=named_zone,
            resend_missing=resend,
            now=parts.now(),
        )
    read = [_read(inquiry, path) for path in paths]
    if inquiry.clock.assumed_zone:
        say("The log's times have no zone and are taken for this machine's: --log-zone says else.")
    fields = _settled(parts, campaign_id, inquiry, resend=resend, dry_run=dry_run)
    _name_unsettled(fields["findings"], resend=resend)
    answer(as_json, {**fields, "logs": read}, _sentence(fields, dry_run=dry_run))


def _read(inquiry: Inquiry, path: Path) -> dict[str, Any]:
    with progress(f"reading {path}") as advance, open_log(path, advance) as lines:
        return inquiry.read(lines, str(path))


def _settled(
    parts: Parts, campaign_id: str, inquiry: Inquiry, *, resend: bool, dry_run: bool
) -> dict[str, Any]:
    findings = inquiry.findings()
    sent = requeued = 0
    look = reading(parts.sessions) if dry_run else parts.sessions.begin()
    with look as session:
        campaign = find_campaign(session, campaign_id)
        if not dry_run:
            sent, requeued = settle_findings(
                session, campaign, findings, resend_missing=resend, now=parts.now()
            )
            session.flush()
            note(
                parts, session, "campaign reconcile", campaign=campaign.id, sent=sent,
                requeued=requeued,
            )  # fmt: skip
        fields = {
            **report(session, campaign),
            "reconciled": sent + requeued,
            "settled_as_sent": sent,
            "requeued": requeued,
            "findings": described(session, campaign, findings, identity=parts.identity),
        }
    if dry_run:
        looked(parts, "campaign reconcile", campaign=fields["campaign_id"], dry_run=True)
    if requeued:
        parts.doorbell.ring_send()
    return fields


def _name_unsettled(findings: list[dict[str, Any]], *, resend: bool) -> None:
    """Say what stays uncertain, and why."""
    unsettled = [
        each
        for each in findings
        if each["finding"] != Said.ACCEPTED
        and not (resend and each["finding"] == Said.NOT_ACCEPTED)
    ]
    for each in unsettled[:_MOST_NAMED]:
        say(_unsettled(each))
    if len(unsettled) > _MOST_NAMED:
        say(f"… and {len(unsettled) - _MOST_NAMED} more: see --json.")


def _unsettled(finding: dict[str, Any]) -> str:
    under = f" as {finding['queue_id']}" if finding["queue_id"] else ""
    if finding["finding"] == Said.NOT_ACCEPTED:
        return (
            f"{finding['email']}: {finding['reason']}{under}, so that it was not accepted; "
            "--resend-missing sends it again."
        )
    return f"{finding['email']} stays uncertain: {finding['finding']}{under}, {finding['reason']}."


def _sentence(fields: dict[str, Any], *, dry_run: bool) -> str:
    number = {said.value: 0 for said in Said} | {"unclear": 0}
    for each in fields["findings"]:
        number[each["finding"]] += 1
    found = ", ".join(f"{count} {shown(words)}" for words, count in number.items() if count)
    done = (
        "Nothing was changed (dry run)."
        if dry_run
        else f"Settled as sent: {fields['settled_as_sent']}; "
        f"back in the queue: {fields['requeued']}."
    )
    return f"By the log: {found}. {done} {campaign_sentence(fields)}"
