"""Choosing each reader's variant, when a batch has been claimed: no template is run for it.

The reader's details are read in the claim's own transaction, and the same go into the mail, so that
its conditions and its values agree. Who has changed their mind since the campaign was prepared, and
comes out as nobody did before, waits until a worker has compiled that (`variants`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from mailer.domain.locales import mail_locale
from mailer.locales import LANGUAGES
from mailer.rendering import CannotWorkOut, Decision, Kind, Outcomes, ReaderValues
from mailer.store.ledger import Claimed, let_wait, problems, set_variants
from mailer.store.models import Campaign, Newsletter, Notice, Variant
from mailer.store.profiles import Profile, profiles

_LOOK_AGAIN = 2.0
"""Seconds: so long takes a worker to hear of it and to compile."""
_KEPT_CAMPAIGNS = 16
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Home(NamedTuple):
    """What holds for a reader who said nothing else: the newsletter's locale and time zone."""

    locale: str
    timezone: str


@dataclass
class Chosen:
    """A batch with a variant for everybody; `failing` says, by delivery, for whom there is none."""

    batch: list[Claimed] = field(default_factory=list)
    profiles: dict[int, Profile] = field(default_factory=dict)
    failing: dict[int, str] = field(default_factory=dict)


@dataclass
class _Campaign:
    home: Home
    fixed_locale: str | None
    outcomes: Outcomes
    last: int  # the newest variant's id


def details(profile: Profile, home: Home) -> ReaderValues:
    """Return what conditions are worked out from; the links are not among it."""
    return ReaderValues(
        email=profile.email,
        name=shown_name(profile.name),
        unsubscribe_url="",
        preferences_url="",
        confirm_url="",
        message_id="",
        date=_LONG_AGO,
        delivery="",
        locale=profile.locale or home.locale,
        timezone=profile.timezone or home.timezone,
        attributes=profile.attributes,
        topics=profile.topics,
    )


def nobody(email: str, home: Home) -> Profile:
    """Return somebody of whom nothing is known but an address."""
    return Profile(0, email, "", home.locale, home.timezone, {}, ())


def shown_name(name: str) -> str:
    """Return the name as it may stand in a mail: nothing where it holds what cannot be printed."""
    return name if name.isprintable() else ""


def locale_of(profile: Profile, home: Home, fixed_locale: str | None) -> str:
    """Return the locale of the reader's mail."""
    return fixed_locale or mail_locale(profile.locale, home.locale, LANGUAGES)


def stored_path(steps: Sequence[Sequence[str]]) -> tuple[Decision, ...]:
    """Return a path as the database keeps it."""
    return tuple(Decision(Kind(kind), *rest) for kind, *rest in steps)


class Chooser:
    """Knows the outcomes of the campaigns that are being sent."""

    def __init__(self) -> None:
        self._campaigns: dict[tuple[int, int], _Campaign] = {}  # by id and version of the content

    def choose(self, connection: Connection, batch: Sequence[Claimed]) -> Chosen:
        """Choose for a claimed batch, in the claim's transaction."""
        chosen = Chosen()
        by_content: dict[tuple[int, int], list[Claimed]] = {}
        for item in batch:
            if item.campaign_id is None or item.variant_id is not None:
                chosen.batch.append(item)
            else:
                by_content.setdefault((item.campaign_id, item.version), []).append(item)
        for (campaign_id, version), items in by_content.items():
            self._choose_for(connection, campaign_id, version, items, chosen)
        return chosen

    def _choose_for(
        self, connection: Connection, campaign_id: int, version: int, items: Sequence[Claimed],
        chosen: Chosen,
    ) -> None:  # fmt: skip
        campaign = self._campaign(connection, campaign_id, version)
        readers = [item.subscriber_id for item in items if item.subscriber_id is not None]
        found = profiles(connection, items[0].newsletter_id, readers)
        made: list[tuple[Claimed, int]] = []
        waiting: list[Claimed] = []
        for item in items:
            profile = found.get(item.subscriber_id or 0)
            if profile is None:
                continue  # erased meanwhile: the gate says so
            try:
                locale = locale_of(profile, campaign.home, campaign.fixed_locale)
                variant = campaign.outcomes.choose(details(profile, campaign.home), locale)
            except CannotWorkOut as refusal:
                chosen.failing[item.id] = str(refusal)
                chosen.batch.append(item)
                continue
            if variant is None:
                waiting.append(item)
                continue
            made.append((item, variant))
            chosen.profiles[item.id] = profile
            chosen.batch.append(item._replace(variant_id=variant))
        if made:
            set_variants(connection, made)
        if waiting:
            self._let_wait(connection, campaign_id, waiting, chosen)

    def _let_wait(
        self, connection: Connection, campaign_id: int, items: Sequence[Claimed], chosen: Chosen
    ) -> None:
        """Put off those for whom nothing is compiled; those for whom nothing can be fail."""
        known = problems(connection, campaign_id)
        for item in items:
            if item.subscriber_id in known:
                chosen.failing[item.id] = known[item.subscriber_id]
                chosen.batch.append(item)
        rest = [item for item in items if item.subscriber_id not in known]
        if rest:
            let_wait(connection, rest, seconds=_LOOK_AGAIN)

    def _campaign(self, connection: Connection, campaign_id: int, version: int) -> _Campaign:
        """Return what is known of the campaign; read anew where more has been compiled."""
        newest = select(func.max(Variant.id)).where(Variant.campaign_id == campaign_id)
        last = connection.execute(newest).scalar() or 0
        known = self._campaigns.get((campaign_id, version))
        if known is None or known.last != last:
            known = _read(connection, campaign_id, version, last)
            self._campaigns[campaign_id, version] = known
            for oldest in list(self._campaigns)[:-_KEPT_CAMPAIGNS]:
                del self._campaigns[oldest]
        return known


def home_of(connection: Connection, newsletter_id: int) -> Home:
    """Return the newsletter's own locale and time zone."""
    wanted = select(Newsletter.locale, Newsletter.timezone).where(Newsletter.id == newsletter_id)
    return Home(*connection.execute(wanted).one())


def _read(connection: Connection, campaign_id: int, version: int, last: int) -> _Campaign:
    campaign = connection.execute(
        select(Campaign.newsletter_id, Notice.locale)
        .outerjoin(Notice, Notice.id == Campaign.renews_notice_id)
        .where(Campaign.id == campaign_id)
    ).one()
    variants = connection.execute(
        select(Variant.id, Variant.locale, Variant.path)
        .where(Variant.campaign_id == campaign_id, Variant.version == version)
        .order_by(Variant.id)
    )
    outcomes = Outcomes((each, locale, stored_path(path)) for each, locale, path in variants)
    return _Campaign(home_of(connection, campaign[0]), campaign[1], outcomes, last)
