"""`mailer digest`: recurring rules that make campaigns of new articles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy.orm import Session

from mailer.cli import digest_options as options
from mailer.cli import digest_selection
from mailer.cli.campaign_fields import campaign_sentence, left_out_sentences
from mailer.cli.console import (
    AsJson,
    Yes,
    answer,
    answer_fields,
    answer_rows,
    ask,
    example,
    progress,
    say,
)
from mailer.cli.noting import note
from mailer.cli.opening import open_installation
from mailer.cli.watching import follow, say_if_nobody_works
from mailer.domain.rules import ORDINARY
from mailer.services.articles.feeds import fetch_feeds, list_feeds
from mailer.services.articles.images import NONE
from mailer.services.campaigns.own_time import zones_of_digest
from mailer.services.campaigns.reports import report
from mailer.services.digests.approvals import ask_editors
from mailer.services.digests.digests import (
    Ran,
    add_digest,
    begin_run,
    list_digests,
    look_ahead,
    pause_digest,
    remove_digest,
    resume_digest,
    run_digest,
)
from mailer.services.digests.editing import edit_digest, set_approver, set_rules
from mailer.services.newsletters.lookup import find_digest, find_newsletter
from mailer.store.engine import reading
from mailer.store.models import Digest

if TYPE_CHECKING:
    from mailer.wiring import Parts

app = typer.Typer()
app.add_typer(digest_selection.app)

NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]
Slug = Annotated[str, typer.Argument(metavar="DIGEST", help="The digest's short name or id.")]


@app.command(
    epilog=example(
        'mailer digest add weekly friday --purpose updates --cron "0 7 * * FRI" '
        "--timezone Africa/Lagos",
        'mailer digest add weekly daily --purpose updates --cron "0 6 * * *" --max-age 36h '
        "--max-per-source 3 --section politics=4 --section-order politics,culture "
        "--approve-by editor@example.org --approve-within 90m",
        'mailer digest add weekly morning --purpose updates --cron "0 7 * * *" '
        "--reader-local-time --expires 3h",
    )
)
def add(
    newsletter_name: NewsletterName,
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="A short name, such as friday.")],
    purpose: Annotated[str, typer.Option(help="Which consent it is for.")],
    cron: Annotated[str, typer.Option(help="When: minute hour day month weekday.")],
    timezone: Annotated[str | None, typer.Option(help="Else the newsletter's.")] = None,
    max_articles: options.MaxArticles = None,
    min_articles: options.MinArticles = None,
    max_per_source: options.MaxPerSource = None,
    max_age: options.MaxAge = None,
    section: options.Section = None,
    section_order: options.SectionOrder = None,
    prefer_source: options.PreferSource = None,
    approve_by: options.ApproveBy = None,
    approve_within: options.ApproveWithin = None,
    reader_local_time: options.ReaderLocalTime = False,
    expires: options.Expires = None,
    template: Annotated[str, typer.Option(help="The mail's template.")] = "digest",
    as_json: AsJson = False,
) -> None:
    """Add a rule; it runs by itself while a worker is alive.

    `mailer digest preview` shows what its rules let in, and why.
    """
    parts = open_installation()
    timing = options.timing(parts, reader_local_time, expires)
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        changes = options.rule_changes(
            session, newsletter, ORDINARY, max_articles=max_articles, min_articles=min_articles,
            max_per_source=max_per_source, max_age=max_age, section=section,
            section_order=section_order, prefer_source=prefer_source,
        )  # fmt: skip
        digest = add_digest(
            session,
            newsletter,
            slug=slug,
            purpose=purpose,
            cron=cron,
            timezone=timezone or newsletter.timezone,
            template=template,
            rules=replace(ORDINARY, **changes),
            approver=options.approver(parts, approve_by, approve_within),
            timing=timing,
            renderer=parts.renderer,
            now=parts.now(),
        )
        session.flush()
        _note(parts, session, "digest add", digest, address_hash=digest.approve_hash)
        fields = _fields(session, digest)
    answer(
        as_json,
        fields,
        f"Added digest {slug}; it runs next at {fields['next_run_at']:%Y-%m-%d %H:%M} UTC.",
    )


@app.command(
    epilog=example(
        "mailer digest edit weekly friday --max-per-source 2 --section sport=0",
        "mailer digest edit weekly friday --approve-by none --max-age none",
    )
)
def edit(
    newsletter_name: NewsletterName,
    slug: Slug,
    purpose: Annotated[str | None, typer.Option(help="Which consent it is for.")] = None,
    cron: Annotated[str | None, typer.Option(help="When: minute hour day month weekday.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Time zone of --cron.")] = None,
    max_articles: options.MaxArticles = None,
    min_articles: options.MinArticles = None,
    max_per_source: options.MaxPerSource = None,
    max_age: options.MaxAge = None,
    section: options.Section = None,
    section_order: options.SectionOrder = None,
    prefer_source: options.PreferSource = None,
    approve_by: options.ApproveBy = None,
    approve_within: options.ApproveWithin = None,
    reader_local_time: options.ReaderLocalTimeOrNot = None,
    expires: options.Expires = None,
    template: Annotated[str | None, typer.Option(help="The mail's template.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given and keep the rest, from the next run on."""
    parts = open_installation()
    timing = options.timing(parts, True, expires)
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        digest = find_digest(session, newsletter, slug)
        changes = options.rule_changes(
            session, newsletter, digest.selection, max_articles=max_articles,
            min_articles=min_articles, max_per_source=max_per_source, max_age=max_age,
            section=section, section_order=section_order, prefer_source=prefer_source,
        )  # fmt: skip
        asks = approve_by is not None or approve_within is not None
        given = (purpose, cron, timezone, template, reader_local_time, expires)
        if not changes and not asks and all(each is None for each in given):
            raise typer.BadParameter("Say what to change, such as --max-articles.")
        edit_digest(
            session, digest, purpose=purpose, cron=cron, timezone=timezone, template=template,
            own_time=reader_local_time, fresh=timing.fresh if expires else None, zones=timing.zones,
            renderer=parts.renderer, now=parts.now(),
        )  # fmt: skip
        set_rules(session, digest, changes)
        if asks:
            set_approver(digest, options.approver(parts, approve_by, approve_within, digest))
        session.flush()
        changed = [*changes, *(["approve_by"] if asks else [])]
        hashed = digest.approve_hash if asks else ""
        _note(parts, session, "digest edit", digest, changed=changed, address_hash=hashed)
        fields = _fields(session, digest)
    answer_fields(as_json, fields)


@app.command("list", epilog=example("mailer digest list weekly"))
def list_all(newsletter_name: NewsletterName, as_json: AsJson = False) -> None:
    """List a newsletter's digests with their last outcome."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        newsletter = find_newsletter(session, newsletter_name)
        rows = [_fields(session, digest) for digest in list_digests(session, newsletter)]
    answer_rows(
        as_json,
        rows,
        ("digest", "purpose", "cron", "timezone", "paused", "next_run_at", "last_outcome"),
        empty=f"No digest yet: `mailer digest add {newsletter_name} …`.",
    )


@app.command(epilog=example("mailer digest show weekly friday"))
def show(newsletter_name: NewsletterName, slug: Slug, as_json: AsJson = False) -> None:
    """Show one digest."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        fields = _fields(
            session, find_digest(session, find_newsletter(session, newsletter_name), slug)
        )
    answer_fields(as_json, fields)


@app.command(epilog=example("mailer digest run weekly friday --watch"))
def run(
    newsletter_name: NewsletterName,
    slug: Slug,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to the end.")] = False,
    read_feeds: Annotated[
        bool, typer.Option("--fetch/--no-fetch", help="Read the newsletter's feeds first.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Run a digest now, whatever its schedule; skipped when there is nothing new."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        occasion = begin_run(find_digest(session, find_newsletter(session, newsletter_name), slug))
    if read_feeds:
        _read_feeds(parts, occasion.newsletter_id)
    fields: dict[str, Any]
    with reading(parts.sessions) as session:
        outlook = look_ahead(session, occasion, now=parts.now())
        zones = zones_of_digest(session, occasion.digest_id)
    images = parts.images.keep(outlook.chosen) if outlook and not outlook.shortfall else NONE
    with parts.sessions.begin() as session:
        outcome = run_digest(
            session, occasion, outlook=outlook, images=images, zones=zones, now=parts.now()
        )
        if isinstance(outcome, Ran):
            campaign_id = outcome.campaign.id
            note(
                parts, session, "digest run", newsletter=outcome.campaign.newsletter.slug,
                campaign=campaign_id,
            )  # fmt: skip
            fields = {"outcome": "ran", **report(session, outcome.campaign)}
        else:
            reason = outcome.reason if outcome else "a worker has just run it"
            fields = {"outcome": "skipped", "reason": reason}
    if fields["outcome"] == "skipped":
        answer(as_json, fields, f"Skipped: {fields['reason']}.")
        return
    for sentence in left_out_sentences(fields["images_left_out"]):
        say(sentence)
    if fields["approval"]:
        ask_editors(parts.sessions, renderer=parts.renderer, now=parts.now())
        parts.doorbell.ring_send()
    else:
        parts.doorbell.ring_prepare(campaign_id)
    say_if_nobody_works(parts)
    if watch and not fields["approval"]:
        fields = {"outcome": "ran", **follow(parts, campaign_id)}
    answer(as_json, fields, campaign_sentence(fields))


@app.command(epilog=example("mailer digest pause weekly friday"))
def pause(newsletter_name: NewsletterName, slug: Slug, as_json: AsJson = False) -> None:
    """Let a digest rest until it is resumed."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        digest = find_digest(session, find_newsletter(session, newsletter_name), slug)
        pause_digest(session, digest)
        _note(parts, session, "digest pause", digest)
        fields = _fields(session, digest)
    answer(as_json, fields, f"Digest {fields['digest']} rests.")


@app.command(epilog=example("mailer digest resume weekly friday"))
def resume(newsletter_name: NewsletterName, slug: Slug, as_json: AsJson = False) -> None:
    """Let a digest run again from its next time on."""
    parts = open_installation()
    zones = options.timing(parts, True, None).zones
    with parts.sessions.begin() as session:
        digest = find_digest(session, find_newsletter(session, newsletter_name), slug)
        resume_digest(session, digest, zones=zones, now=parts.now())
        _note(parts, session, "digest resume", digest)
        fields = _fields(session, digest)
    answer(as_json, fields, f"Digest {fields['digest']} runs next at {fields['next_run_at']}.")


@app.command(epilog=example("mailer digest remove weekly friday --yes"))
def remove(
    newsletter_name: NewsletterName, slug: Slug, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Remove a digest and its memory of used articles; its campaigns stay."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        find_digest(session, find_newsletter(session, newsletter_name), slug)
    ask(f"Digest {slug} forgets which articles it has used.", yes=yes)
    with parts.sessions.begin() as session:
        digest = find_digest(session, find_newsletter(session, newsletter_name), slug)
        fields = _fields(session, digest)
        _note(parts, session, "digest remove", digest)
        remove_digest(session, digest)
    answer(as_json, fields, f"Removed digest {fields['digest']}.")


def _note(parts: Parts, session: Session, action: str, digest: Digest, **more: Any) -> None:
    note(parts, session, action, newsletter=digest.newsletter.slug, digest=digest.slug, **more)


def _read_feeds(parts: Parts, newsletter_id: int) -> None:
    """Read the feeds; one that is broken is told and stops nothing, as in a run by itself."""
    with progress("reading feeds") as advance:
        reports = fetch_feeds(
            parts.sessions, newsletter_id=newsletter_id, fetch=parts.fetch, now=parts.now,
            progress=advance,
        )  # fmt: skip
    for read in reports:
        if read.error:
            say(f"{read.location}: {read.error}")


def _fields(session: Session, digest: Digest) -> dict[str, Any]:
    return {
        "digest": digest.slug,
        "digest_id": digest.id,
        "newsletter": digest.newsletter.slug,
        "purpose": digest.purpose.slug,
        "cron": digest.cron,
        "timezone": digest.timezone,
        "reader_local_time": digest.reader_local_time,
        "expires_seconds": digest.fresh_seconds,
        "template": digest.template,
        **options.rule_fields(digest, list_feeds(session, digest.newsletter)),
        "paused": digest.paused,
        "next_run_at": digest.next_run_at,
        "next_local_at": digest.next_local_at,
        "last_run_at": digest.last_run_at,
        "last_outcome": digest.last_outcome,
    }
