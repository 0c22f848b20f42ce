"""The rules of a digest as people type them, for `digest add` and `digest edit`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy.orm import Session

from mailer.cli.when import parse_duration
from mailer.domain.addresses import parse_address
from mailer.domain.approvals import APPROVE_WITHIN
from mailer.domain.rules import Rules, section_key
from mailer.services.articles.feeds import find_feed
from mailer.services.campaigns.own_time import readers_zones
from mailer.services.digests.digests import AS_USUAL, Timing
from mailer.services.digests.editing import Approver
from mailer.store.engine import reading
from mailer.store.models import Digest, Feed, Newsletter

if TYPE_CHECKING:
    from mailer.wiring import Parts

NOTHING = "none"
_YEAR = timedelta(days=366)

MaxArticles = Annotated[
    int | None, typer.Option(min=1, max=50, help="At most so many; 12 if not said.")
]
MinArticles = Annotated[
    int | None, typer.Option(min=1, max=50, help="Fewer: skipped; 1 if not said.")
]
MaxPerSource = Annotated[
    str | None, typer.Option(metavar="N", help="At most so many of one feed, or none: any number.")
]
MaxAge = Annotated[
    str | None, typer.Option(metavar="TIME", help="Nothing older, such as 36h or 7d, or none.")
]
Section = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=N",
        help="At most N of a section; 0 leaves it out, none takes the cap away, “*” stands for "
        "every other section; repeatable.",
    ),
]
SectionOrder = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", help="Which sections come first, or none: the newest first."),
]
PreferSource = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FEED",
        help="Whose version of a story stays, best first (id, name or address), or none; "
        "repeatable.",
    ),
]
_OWN_TIME = (
    "When each reader's own clock shows that time; unknown zones: the newsletter's. It is frozen "
    "when the first reader's does."
)
ReaderLocalTime = Annotated[bool, typer.Option("--reader-local-time", help=_OWN_TIME)]
ReaderLocalTimeOrNot = Annotated[
    bool | None, typer.Option("--reader-local-time/--no-reader-local-time", help=_OWN_TIME)
]
Expires = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="How late a run that was missed may still be made, such as 3h; 12h if not said.",
    ),
]
ApproveBy = Annotated[
    str | None,
    typer.Option(metavar="EMAIL", help="Ask this editor before it goes, or none: nobody."),
]
ApproveWithin = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Silence for so long means no, such as 90m or 4h; 12h if not said."
    ),
]


def rule_changes(
    session: Session,
    newsletter: Newsletter,
    before: Rules,
    *,
    max_articles: int | None,
    min_articles: int | None,
    max_per_source: str | None,
    max_age: str | None,
    section: list[str] | None,
    section_order: str | None,
    prefer_source: list[str] | None,
) -> dict[str, Any]:
    """Return what was given, as the fields of `Rules`."""
    changes: dict[str, Any] = {}
    if max_articles is not None:
        changes["max_articles"] = max_articles
    if min_articles is not None:
        changes["min_articles"] = min_articles
    if max_per_source is not None:
        changes["max_per_source"] = _number(max_per_source, "--max-per-source")
    if max_age is not None:
        changes["max_age"] = None if max_age == NOTHING else parse_duration(max_age, longest=_YEAR)
    if section:
        changes["caps"] = _caps(dict(before.caps), section)
    if section_order is not None:
        named = [] if section_order == NOTHING else section_order.split(",")
        changes["order"] = tuple(dict.fromkeys(section_key(name) for name in named))
    if prefer_source:
        named = [] if prefer_source == [NOTHING] else prefer_source
        changes["preferred"] = tuple(str(find_feed(session, newsletter, name).id) for name in named)
    return changes


def approver(
    parts: Parts, address: str | None, within: str | None, digest: Digest | None = None
) -> Approver | None:
    """Return whose word a digest waits for; what is not given is as it was."""
    if address == NOTHING:
        return None
    given = address or (digest.approve_by if digest else "")
    if not given:
        if within:
            raise typer.BadParameter("--approve-within goes with --approve-by.")
        return None
    before = timedelta(seconds=digest.approve_seconds) if digest else APPROVE_WITHIN
    return Approver.of(
        parse_address(given), parts.suppression_key, parse_duration(within) if within else before
    )


def rule_fields(digest: Digest, feeds: Iterable[Feed]) -> dict[str, Any]:
    """Return a digest's rules as they are shown."""
    rules = digest.selection
    names = {str(feed.id): feed.name or feed.title or feed.location for feed in feeds}
    return {
        "max_articles": rules.max_articles,
        "min_articles": rules.min_articles,
        "max_age_hours": rules.max_age / timedelta(hours=1) if rules.max_age else None,
        "max_per_source": rules.max_per_source,
        "sections": dict(rules.caps),
        "section_order": list(rules.order),
        "preferred_sources": [names.get(each, each) for each in rules.preferred],
        "approve_by": digest.approve_by or ("forgotten" if digest.approve_hash else None),
        "approve_within_minutes": digest.approve_seconds // 60 if digest.approve_hash else None,
    }


def _caps(caps: dict[str, int], given: list[str]) -> dict[str, int]:
    for each in given:
        name, sign, number = each.rpartition("=")
        if not sign:
            raise typer.BadParameter(f"--section is “{each}”: write it like politics=3.")
        cap = _number(number, "--section")
        if cap is None:
            caps.pop(section_key(name), None)
        else:
            caps[section_key(name)] = cap
    return caps


def _number(text: str, option: str) -> int | None:
    text = text.strip()
    if text == NOTHING:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise typer.BadParameter(f"{option} is “{text}”: give a number, or none.")
    return int(text)


def timing(parts: Parts, own_time: bool, expires: str | None) -> Timing:
    """Return when a digest goes, with the zones of all readers where it follows them."""
    zones: set[str] = set()
    if own_time:
        with reading(parts.sessions) as session:  # looks at all readers: nobody waits for that
            zones = readers_zones(session)
    fresh = parse_duration(expires) if expires else AS_USUAL.fresh
    return Timing(own_time, zones, fresh)
