"""Preferences: what a reader gives, withdraws and leaves by the link of a mail."""

from datetime import datetime

import building as b
from sqlalchemy import select

from mailer.domain.consent import Method
from mailer.services.consent.preferences import (
    Preferences,
    leave_all,
    open_leave,
    open_preferences,
    save_preferences,
)
from mailer.services.consent.signup import (
    open_confirmation,
)
from mailer.services.newsletters.notices import current_notice
from mailer.store.consents import Evidence
from mailer.store.models import (
    ConsentEvent,
)
from mailer.wiring import Parts


def save(
    parts: Parts, *wanted: str, notice: str | None = None, name: str = "Ada", now: datetime = b.NOW
) -> Preferences:
    """Press "save" on the first reader's preference page."""
    token = parts.links.preferences(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        saved = save_preferences(
            session,
            parts.signer,
            token,
            wanted=frozenset(wanted),
            notice_sha256=notice,
            name=name,
            locale="en",
            evidence=Evidence(Method.PREFERENCES),
            now=now,
        )
        assert saved
        return saved


def test_preferences_give_and_withdraw_single_purposes(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), 1)
    assert save(parts, "updates", "partner-promotions").name == "Ada"
    assert b.subscriptions(parts) == {"updates": "active", "partner-promotions": "active"}
    save(parts, "partner-promotions")
    assert b.subscriptions(parts) == {"updates": "left", "partner-promotions": "active"}
    save(parts)
    assert b.subscriptions(parts) == {"updates": "left", "partner-promotions": "left"}


def test_what_preferences_give_points_to_the_wording_that_was_on_the_page(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        old = current_notice(session, made, "en")
        assert old
        new = b.publish_notice(session, made, locale="en", text="Another wording.", now=b.NOW)
    save(parts, "updates", "partner-promotions", notice=old.sha256)
    with parts.sessions() as session:
        event = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id.desc())).first()
        assert event
        assert (event.notice_id, event.notice_assumed) == (old.id, False)
    save(parts, "updates")
    save(parts, "updates", "partner-promotions")
    with parts.sessions() as session:
        event = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id.desc())).first()
        assert event
        assert (event.notice_id, event.notice_assumed) == (new.id, True)


def test_a_purpose_that_no_wording_names_cannot_be_given(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        b.add_purpose(session, made, "surveys", "Surveys, announced nowhere")
    page = save(parts, "updates", "surveys")
    assert b.subscriptions(parts) == {"updates": "active"}
    assert [choice.slug for choice in page.purposes] == ["updates", "partner-promotions"]


def test_saving_leaves_alone_what_waits_to_be_confirmed_and_leaving_all_ends_it(
    parts: Parts,
) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        [address] = b.readers(parts, session, made, 1)
        b.sign_up(parts, session, made, address, ("partner-promotions",))
    save(parts, "updates")
    assert b.subscriptions(parts) == {"updates": "active", "partner-promotions": "pending"}
    token = parts.links.preferences(1, 1).rpartition("/")[2]
    with parts.sessions.begin() as session:
        said = Evidence(Method.PREFERENCES)
        assert leave_all(session, parts.signer, token, said, now=b.NOW)
    assert b.subscriptions(parts) == {"updates": "left", "partner-promotions": "left"}


def test_a_token_of_one_kind_opens_no_other_door(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), 1)
        unsubscribe = parts.links.unsubscribe(1, 1).rpartition("/")[2]
        assert open_leave(session, parts.signer, unsubscribe)
        assert open_preferences(session, parts.signer, unsubscribe) is None
        assert open_confirmation(session, parts.signer, unsubscribe, now=b.NOW) is None
