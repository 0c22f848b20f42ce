"""An editor's word: asked once, given once; silence is a no, and nothing is lost by a no."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import building as b
import pytest
from sqlalchemy import func, select

from mailer.domain.addresses import parse_address
from mailer.domain.approvals import Verdict
from mailer.domain.tokens import Token, TokenKind
from mailer.rendering import CompiledMessage
from mailer.services.campaigns.course import (
    CannotCampaign,
    cancel_campaign,
    schedule_campaign,
    start_campaign,
)
from mailer.services.campaigns.preparing import prepare_campaign
from mailer.services.digests.approvals import (
    ApprovalPage,
    approve_by_hand,
    ask_editors,
    decide_by_mail,
    open_approval,
)
from mailer.services.digests.digests import Ran, add_digest, begin_run, run_digest
from mailer.services.digests.editing import Approver, set_approver
from mailer.services.newsletters.newsletters import BadValue
from mailer.services.operations.tick import tick
from mailer.services.privacy.erasing import erase
from mailer.store.models import (
    Approval,
    Campaign,
    Digest,
    DigestArticle,
    Newsletter,
    OperatorAction,
    Variant,
    delivery,
)
from mailer.store.suppressions import suppress
from mailer.wiring import Parts

EDITOR = "editor@news.test"
WITHIN = timedelta(hours=4)


def waiting(parts: Parts) -> int:
    """Run a digest that needs an approval; return its campaign."""
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 2)
        b.articles(session, made, 3)
        digest = add_digest(
            session, made, slug="friday", purpose="updates", cron="0 7 * * FRI",
            approver=Approver.of(parse_address(EDITOR), parts.suppression_key, WITHIN),
            renderer=parts.renderer, now=b.NOW,
        )  # fmt: skip
        return run(parts, digest.id, session=session)


def run(parts: Parts, digest_id: int, *, session=None, now: datetime = b.NOW) -> int:
    if session is None:
        with parts.sessions.begin() as opened:
            return run(parts, digest_id, session=opened, now=now)
    ran = run_digest(session, begin_run(session.get_one(Digest, digest_id)), now=now)
    assert isinstance(ran, Ran), ran
    return ran.campaign.id


def asked(parts: Parts) -> int:
    return ask_editors(parts.sessions, renderer=parts.renderer, now=b.NOW)


def token(parts: Parts, campaign_id: int = 1, **other: int) -> str:
    values = {
        "newsletter_id": 1, "subscriber_id": campaign_id,
        "serial": int((b.NOW + WITHIN).timestamp()), **other,
    }  # fmt: skip
    return parts.signer.sign(Token(TokenKind.APPROVAL, **values))


def press(
    parts: Parts, decision: Verdict, *, text: str = "", now: datetime = b.NOW
) -> ApprovalPage | None:
    with parts.sessions.begin() as session:
        found = decide_by_mail(session, parts.signer, text or token(parts), decision, now=now)
        return found


def trail(parts: Parts) -> list[tuple[str, str, str]]:
    with parts.sessions() as session:
        rows = session.scalars(select(OperatorAction).order_by(OperatorAction.id))
        return [(row.operator, row.action, row.details.get("decision", "")) for row in rows]


def outcome(parts: Parts) -> str:
    with parts.sessions() as session:
        return session.scalars(select(Digest)).one().last_outcome


def test_a_digest_waits_and_its_editor_is_asked_once_with_the_whole_mail(parts: Parts) -> None:
    campaign_id = waiting(parts)
    assert b.campaign_state(parts, campaign_id) == "draft"
    until = b.NOW + WITHIN
    assert outcome(parts) == f"campaign 1 waits until {until:%Y-%m-%d %H:%M} UTC to be approved"
    assert asked(parts) == 1
    assert asked(parts) == 0
    with parts.sessions() as session:
        variant = session.scalars(select(Variant)).one()
        newsletter = session.get_one(Campaign, campaign_id).newsletter
        values = parts.renderer.sample_values(email=EDITOR, newsletter=newsletter, now=b.NOW)
    mail = CompiledMessage.from_json(variant.compiled)
    assert mail.subject(values) == "Please approve: The Weekly: Story 0"
    for part in (mail.preview_html(values), mail.preview_text(values)):
        assert all(f"Story {number}" in part for number in range(3))
        assert f"{parts.settings.public_url}/r/{token(parts)}" in part
        assert f"{parts.settings.public_url}/r/{token(parts)}?stop" in part
        lagos = until.astimezone(ZoneInfo("Africa/Lagos"))
        assert f"{lagos:%Y-%m-%d %H:%M}" in part, "in the newsletter's own zone"
    assert b"Auto-Submitted" in mail.personalise(values)


def test_nothing_starts_a_campaign_that_waits_but_an_approval(parts: Parts) -> None:
    campaign_id = waiting(parts)
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        with pytest.raises(CannotCampaign, match="campaign approve 1"):
            start_campaign(session, campaign, now=b.NOW)
        with pytest.raises(CannotCampaign, match="campaign approve 1"):
            schedule_campaign(session, campaign, b.NOW + timedelta(hours=1), now=b.NOW)
    assert b.campaign_state(parts, campaign_id) == "draft"


def test_an_approval_sends_it_to_everybody_and_a_second_press_changes_nothing(
    parts: Parts,
) -> None:
    campaign_id = waiting(parts)
    asked(parts)
    for decision in (Verdict.APPROVED, Verdict.APPROVED, Verdict.STOPPED):
        found = press(parts, decision)
        assert found
        assert found.approval.decision == "approved"
        assert not found.is_open
    assert b.campaign_state(parts, campaign_id) == "preparing"
    prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    assert len(b.states(parts, campaign_id)) == 2
    assert trail(parts) == [("editor", "campaign approve", "approved")]
    assert outcome(parts) == "campaign 1: approved"
    with parts.sessions() as session:
        assert session.get_one(Approval, campaign_id).recipient == "", "no longer needed"


def test_a_stop_ends_it_and_its_articles_go_with_the_next_run(parts: Parts) -> None:
    campaign_id = waiting(parts)
    found = press(parts, Verdict.STOPPED)
    assert found
    assert found.approval.decision == "stopped"
    assert b.campaign_state(parts, campaign_id) == "cancelled"
    assert press(parts, Verdict.APPROVED).approval.decision == "stopped"
    assert b.campaign_state(parts, campaign_id) == "cancelled"
    assert trail(parts) == [("editor", "campaign cancel", "stopped")]
    again = run(parts, 1, now=b.NOW + timedelta(hours=1))
    with parts.sessions() as session:
        content = session.get_one(Campaign, again).content
        assert [article["title"] for article in content["articles"]] == [
            "Story 0", "Story 1", "Story 2",
        ]  # fmt: skip
        used = session.scalars(select(DigestArticle.campaign_id).distinct()).all()
        assert used == [again]


def test_silence_is_a_no(parts: Parts) -> None:
    campaign_id = waiting(parts)
    tick(parts.sessions, now=lambda: b.NOW + WITHIN - timedelta(seconds=1))
    assert b.campaign_state(parts, campaign_id) == "draft"
    late = b.NOW + WITHIN
    found = press(parts, Verdict.APPROVED, now=late)
    assert found
    assert found.ran_out, "even before the clock has come by"
    tick(parts.sessions, now=lambda: late)
    tick(parts.sessions, now=lambda: late)
    assert b.campaign_state(parts, campaign_id) == "expired"
    assert press(parts, Verdict.APPROVED, now=late).approval.decision == "silence"
    assert trail(parts) == [("time", "campaign cancel", "silence")]
    assert outcome(parts) == "campaign 1: nobody approved it in time"


FOREIGN = {
    "another campaign": {"subscriber_id": 2},
    "another newsletter": {"newsletter_id": 2},
    "a later end": {"serial": int((b.NOW + 2 * WITHIN).timestamp())},
}


@pytest.mark.parametrize("case", [*FOREIGN, "one character", "another kind"])
def test_a_link_that_is_not_the_one_in_the_mail_decides_nothing(parts: Parts, case: str) -> None:
    campaign_id = waiting(parts)
    good = token(parts)
    if case == "one character":
        text = good[:-3] + ("A" if good[-3] != "A" else "B") + good[-2:]
    elif case == "another kind":
        kind = Token(TokenKind.UNSUBSCRIBE, 1, campaign_id, int((b.NOW + WITHIN).timestamp()))
        text = parts.signer.sign(kind)
    else:
        text = (
            token(parts, **FOREIGN[case])
            if "subscriber_id" not in FOREIGN[case]
            else token(parts, campaign_id=2)
        )
    assert press(parts, Verdict.APPROVED, text=text) is None
    assert b.campaign_state(parts, campaign_id) == "draft"


def test_to_look_changes_nothing(parts: Parts) -> None:
    campaign_id = waiting(parts)
    with parts.sessions.begin() as session:
        found = open_approval(session, parts.signer, token(parts), now=b.NOW)
        assert found
        assert found.is_open
    assert b.campaign_state(parts, campaign_id) == "draft"
    assert trail(parts) == []


def test_an_approval_that_cannot_be_followed_says_why_and_stays_open(parts: Parts) -> None:
    campaign_id = waiting(parts)
    with parts.sessions.begin() as session:
        session.scalars(select(Newsletter)).one().postal_address = ""
    found = press(parts, Verdict.APPROVED)
    assert found
    assert found.is_open
    assert "postal address" in found.refused
    assert trail(parts) == []
    with parts.sessions.begin() as session:
        session.scalars(select(Newsletter)).one().postal_address = "1 Road"
    assert press(parts, Verdict.APPROVED).approval.decision == "approved"
    assert b.campaign_state(parts, campaign_id) == "preparing"


def test_an_operator_may_approve_or_cancel_instead(parts: Parts) -> None:
    campaign_id = waiting(parts)
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        with pytest.raises(CannotCampaign, match="Nobody approved"):
            approve_by_hand(session, campaign, "Amina", now=b.NOW + WITHIN)
        approve_by_hand(session, campaign, "Amina", now=b.NOW)
        with pytest.raises(CannotCampaign, match="nobody's word"):
            approve_by_hand(session, campaign, "Amina", now=b.NOW)
    assert b.campaign_state(parts, campaign_id) == "preparing"
    assert trail(parts) == [("Amina", "campaign approve", "approved")]


def test_a_campaign_that_is_cancelled_by_hand_asks_nobody_any_more(parts: Parts) -> None:
    campaign_id = waiting(parts)
    with parts.sessions.begin() as session:
        cancel_campaign(session, session.get_one(Campaign, campaign_id), now=b.NOW)
    assert asked(parts) == 0
    found = press(parts, Verdict.APPROVED)
    assert found
    assert found.approval.decision == "stopped"


def test_an_editor_whose_address_is_suppressed_gets_no_mail_and_the_digest_says_so(
    parts: Parts,
) -> None:
    waiting(parts)
    with parts.sessions.begin() as session:
        hashed = b.address_hash(parse_address(EDITOR), parts.suppression_key)
        suppress(session, hashed, b.SuppressionReason.OPERATOR, now=b.NOW)
    assert asked(parts) == 0
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(delivery)) == 0
    assert outcome(parts) == "campaign 1: its editor's address is suppressed"


def test_an_editor_who_is_forgotten_is_asked_no_more_and_nothing_goes_unseen(
    parts: Parts,
) -> None:
    waiting(parts)
    asked(parts)
    with parts.sessions.begin() as session:
        erase(session, parse_address(EDITOR), key=parts.suppression_key, method="cli", now=b.NOW)
    with parts.sessions.begin() as session:
        digest = session.scalars(select(Digest)).one()
        assert (digest.approve_by, bool(digest.approve_hash)) == ("", True)
        assert session.scalars(select(Approval)).one().recipient == ""
        b.articles(session, digest.newsletter, 9)
    again = run(parts, 1, now=b.NOW + timedelta(hours=1))
    assert asked(parts) == 0
    assert b.campaign_state(parts, again) == "draft"
    with parts.sessions.begin() as session:
        set_approver(session.scalars(select(Digest)).one(), None)
        b.articles(session, session.scalars(select(Newsletter)).one(), 19)
    assert b.campaign_state(parts, run(parts, 1, now=b.NOW + timedelta(hours=2))) == "preparing"


@pytest.mark.parametrize("within", [timedelta(minutes=4), timedelta(days=8)])
def test_a_wait_of_no_use_is_refused(within: timedelta) -> None:
    with pytest.raises(BadValue, match="5 minutes and 7 days"):
        Approver.of(parse_address(EDITOR), b"key", within)
