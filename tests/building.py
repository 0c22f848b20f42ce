"""Small builders: a newsletter with its wording, readers, articles, and a sender over a double."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from processes import WITHIN
from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.addresses import address_hash, parse_address
from mailer.domain.articles import ArticleDraft
from mailer.domain.consent import ConsentState, Method
from mailer.domain.relays import RelayConfig, Security
from mailer.domain.suppression import SuppressionReason
from mailer.feeds import Fetched, FetchError
from mailer.services.articles.articles import add_article
from mailer.services.campaigns.course import start_campaign
from mailer.services.campaigns.deciding import Decision, decide_some
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.campaigns.preparing import prepare_campaign
from mailer.services.consent.signup import Signup, SignupOutcome, request_signup
from mailer.services.delivery.sending import Access, OpenRelay, Pace, Sender
from mailer.services.mails.composing import Composer
from mailer.services.newsletters.newsletters import add_newsletter, add_purpose, edit_publisher
from mailer.services.newsletters.notices import publish_notice
from mailer.store.consents import Evidence, record
from mailer.store.ledger import in_state
from mailer.store.models import (
    Campaign,
    ConsentEvent,
    ConsentEvidence,
    Newsletter,
    Subscriber,
    Subscription,
    delivery,
)
from mailer.store.readers import ReaderDetails, find_or_add_reader
from mailer.store.vault import Vault
from mailer.transports.base import Transport
from mailer.wiring import Parts

__all__ = ["SuppressionReason", "address_hash"]  # for the tests that say b.…

NOW = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
if datetime.now(UTC) < NOW:
    NOW -= timedelta(days=1)
"""The last nine o'clock: a few days later, much of what begins now would be out of time."""
WORDING = (
    "You will receive updates, exclusive stories and opportunities to engage. Partners' "
    "promotions come only if you tick their box. Manage preferences or leave at any time. "
    "We do not share your data."
)


def newsletter(session: Session, slug: str = "weekly") -> Newsletter:
    """Add a newsletter with two purposes and its wording."""
    edit_publisher(
        session, {"name": "Test Press", "address": "1 Road, Lagos", "contact": "a@b.test"}
    )
    made = add_newsletter(
        session,
        slug=slug,
        name="The Weekly",
        sender="The Weekly <weekly@news.test>",
        timezone="Africa/Lagos",
        postal_address="1 Road, Lagos",
        now=NOW,
    )
    add_purpose(session, made, "updates", "Updates from the newsroom")
    add_purpose(session, made, "partner-promotions", "Partners' promotions", kind="partner")
    publish_notice(session, made, locale="en", text=WORDING, now=NOW)
    return made


DOMAINS = ("readers.test",)


def readers(
    parts: Parts,
    session: Session,
    made: Newsletter,
    number: int,
    purpose: str = "updates",
    domains: Sequence[str] = DOMAINS,
) -> list[str]:
    """Record consent given elsewhere for `reader0@…`, `reader1@…`; return the addresses."""
    addresses = [f"reader{index}@{domains[index % len(domains)]}" for index in range(number)]
    wanted = next(each for each in made.purposes if each.slug == purpose)
    for address in addresses:
        reader = find_or_add_reader(
            session, parse_address(address), parts.suppression_key, ReaderDetails(), now=NOW
        )
        evidence = Evidence(Method.CLI, source="paper")
        record(session, reader, wanted, ConsentState.GIVEN, evidence, now=NOW)
    session.flush()
    return addresses


def one_reader(parts: Parts) -> None:
    """Record the consent of one reader of the only newsletter."""
    with parts.sessions.begin() as session:
        readers(parts, session, session.scalars(select(Newsletter)).one(), 1)


def articles(session: Session, made: Newsletter, number: int) -> list[int]:
    """Add articles, the newest first in number 0; return their ids."""
    return [
        add_article(
            session,
            made,
            ArticleDraft(
                canonical_url=f"https://news.test/{index}",
                title=f"Story {index}",
                summary="It happened, and then it was over.",
                published_at=NOW - timedelta(hours=index),
            ),
            now=NOW,
        )[0].id
        for index in range(number)
    ]


def sending_campaign(parts: Parts, number_of_readers: int, domains: Sequence[str] = DOMAINS) -> int:
    """Make a campaign that is planned and ready to send; return its id."""
    with parts.sessions.begin() as session:
        made = newsletter(session)
        readers(parts, session, made, number_of_readers, domains=domains)
        campaign = create_campaign(
            session,
            made,
            purpose="updates",
            subject="News",
            article_ids=articles(session, made, 2),
            now=parts.now(),
        )
        start_campaign(session, campaign, now=parts.now())
        campaign_id = campaign.id
    prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    return campaign_id


def sign_up(
    parts: Parts,
    session: Session,
    made: Newsletter,
    address: str,
    purposes: tuple[str, ...] = ("updates",),
    notice: str | None = None,
    now: datetime = NOW,
) -> SignupOutcome:
    """Fill in the form."""
    return request_signup(
        session,
        Signup(
            newsletter=made,
            address=parse_address(address),
            purposes=purposes,
            evidence=Evidence(Method.FORM, ip="192.0.2.7", user_agent="test"),
            notice_sha256=notice,
        ),
        renderer=parts.renderer,
        suppression_key=parts.suppression_key,
        now=now,
    )


def send_all(parts: Parts, transport: Transport, **limits: Any) -> None:
    """Run a sender over the transport until nothing that is due is left."""
    sender = make_sender(parts, transport, **limits)
    sender.start()
    try:
        assert sender.idle.wait(WITHIN), "the sender did not come to rest"
    finally:
        sender.stop()


def make_sender(parts: Parts, transport: Transport, **limits: Any) -> Sender:
    """Return a sender that is not started; `limits` as of RelayConfig."""
    return sender_of(parts, lambda _: access(transport, **limits))


def sender_of(parts: Parts, open_relay: OpenRelay, *, worker: str = "test", **more: Any) -> Sender:
    """Return a sender over many relays that is not started."""
    return Sender(
        parts.engine,
        parts.sessions,
        open_relay,
        Composer(parts.links, parts.identity, parts.dkim),
        worker=worker,
        now=parts.now,
        jitter=lambda: 0.5,
        **{"pace": Pace(look_again=timedelta(milliseconds=50)), **more},
    )


def access(transport: Transport, **limits: Any) -> Access:
    """Return how a relay is reached that has no URL."""
    config = RelayConfig("relay.test", 25, Security.NONE, **{"connections": 4, **limits})
    return Access(transport, config)


def states(parts: Parts, campaign_id: int | None = None) -> dict[str, str]:
    """Return address → state of every delivery."""
    with parts.sessions() as session:
        statement = select(Subscriber.email, delivery.c.state).join(
            delivery, delivery.c.subscriber_id == Subscriber.id
        )
        if campaign_id is not None:
            statement = statement.where(delivery.c.campaign_id == campaign_id)
        return dict(session.execute(statement).all())


def subscriptions(parts: Parts) -> dict[str, str]:
    """Return purpose → state of the only reader's subscriptions."""
    with parts.sessions() as session:
        return {each.purpose.slug: each.state for each in session.scalars(select(Subscription))}


def consents(parts: Parts) -> list[tuple[str, str]]:
    """Return state and method of every consent event, oldest first."""
    with parts.sessions() as session:
        rows = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id))
        return [(row.state, row.method) for row in rows]


def evidences(parts: Parts) -> list[dict[str, str]]:
    """Return the personal part of every consent event, opened, oldest first."""
    with parts.sessions() as session:
        vault = Vault.of(session)
        rows = session.execute(
            select(Subscriber.sealed_key, ConsentEvent.event_id, ConsentEvidence.sealed)
            .join(ConsentEvent, ConsentEvent.subscriber_id == Subscriber.id)
            .join(ConsentEvidence, ConsentEvidence.event == ConsentEvent.id)
            .order_by(ConsentEvent.id)
        )
        return [vault.open(vault.open_key(key), event, sealed) for key, event, sealed in rows]


def campaign_state(parts: Parts, campaign_id: int) -> str:
    """Return the campaign's state."""
    with parts.sessions() as session:
        return session.get_one(Campaign, campaign_id).state


def out_of_reach(url: str, *, etag: str = "", last_modified: str = "") -> Fetched:
    """Fetch nothing."""
    raise FetchError(f"{url} is out of reach.")


def decide(session: Session, campaign: Campaign, decision: str, now: datetime) -> int:
    """Decide all that there is to decide, in the session's transaction; return for how many."""
    made = Decision(decision)
    ids = in_state(session, campaign, made.concerns)
    return decide_some(session, campaign, made, ids, now=now)


def link(kind: str, text: str) -> str:
    """Return the token of the first link of a kind (`c`, `u`, `p`) in a text."""
    found = re.search(rf"/{kind}/([\w-]+)", text)
    assert found, f"no /{kind}/ link in {text[:500]}"
    return found.group(1)
