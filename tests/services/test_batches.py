"""Orders that concern many: a few in a transaction, once for each, and again after a crash."""

from __future__ import annotations

from collections.abc import Callable

import building as b
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.domain.consent import Method
from mailer.rendering import CompiledMessage
from mailer.services.campaigns import drafts as campaigns
from mailer.services.campaigns.deciding import Decision, decide
from mailer.services.campaigns.drafts import send_test
from mailer.services.consent.leaving import withdraw_all
from mailer.store.batches import Batches
from mailer.store.consents import Evidence
from mailer.store.models import OperatorAction, Subscriber, delivery
from mailer.wiring import Parts

FEW = 5


def of(size: int) -> Batches:
    """Return batches that are always so large."""
    return Batches(size, least=size, most=size)


class PowerGone(Exception):
    """The process ends here."""


def power_goes(at: int) -> Callable[[], None]:
    """Return a pause in which the power goes, the so-manyeth time."""
    left = [at]

    def pause() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise PowerGone

    return pause


def give_states(parts: Parts, state: str) -> None:
    with parts.sessions.begin() as session:
        session.execute(update(delivery).values(state=state, settled_at=b.NOW))


@pytest.mark.parametrize(
    ("decision", "before", "after"),
    [
        (Decision.RETRY, "failed", "queued"),
        (Decision.RESEND, "uncertain", "queued"),
        (Decision.SENT, "uncertain", "presumed_sent"),
    ],
)
def test_a_decision_about_many_is_taken_in_batches_and_finished_after_a_crash(
    parts: Parts, decision: Decision, before: str, after: str
) -> None:
    campaign_id = b.sending_campaign(parts, 11)
    give_states(parts, before)
    with pytest.raises(PowerGone):
        decide(
            parts.sessions, campaign_id, decision, now=parts.now, pause=power_goes(2), batches=of(3)
        )  # fmt: skip
    assert sorted(b.states(parts).values()) == sorted([before] * 5 + [after] * 6)
    noted: list[int] = []
    done = decide(
        parts.sessions, campaign_id, decision, now=parts.now, pause=lambda: None,
        note=lambda _, number: noted.append(number), batches=of(3),
    )  # fmt: skip
    assert (done, noted) == (5, [5])
    assert set(b.states(parts).values()) == {after}


def test_what_fails_again_meanwhile_is_not_tried_a_third_time(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 6)
    give_states(parts, "failed")

    def fails_again() -> None:
        give_states(parts, "failed")

    done = decide(
        parts.sessions, campaign_id, Decision.RETRY, now=parts.now, pause=fails_again, batches=of(2)
    )  # fmt: skip
    assert done == 6
    assert sorted(b.states(parts).values()) == ["failed"] * 4 + ["queued"] * 2


def test_leavers_are_withdrawn_a_few_at_a_time_and_the_rest_after_a_crash(parts: Parts) -> None:
    number = 3 * FEW + 1
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), number)
    with parts.sessions() as session:
        ids = list(session.scalars(select(Subscriber.id).order_by(Subscriber.id)))

    def note(session: Session, reader: int, left: int) -> None:
        row = {"operator": "o", "action": "subscriber unsubscribe", "details": {"left": left}}
        session.add(OperatorAction(at=b.NOW, subscriber_id=reader, **row))

    def leave(pause: Callable[[], None]) -> list[tuple[int, int]]:
        return withdraw_all(
            parts.sessions, ids, Evidence(Method.CLI), newsletter_id=None, purpose_ids=None,
            now=parts.now, pause=pause, note=note, batches=of(FEW),
        )  # fmt: skip

    with pytest.raises(PowerGone):
        leave(power_goes(2))
    assert b.consents(parts).count(("withdrawn", "cli")) == 2 * FEW
    assert leave(lambda: None) == [(each, int(each > ids[2 * FEW - 1])) for each in ids]
    assert b.consents(parts).count(("withdrawn", "cli")) == number
    with parts.sessions() as session:
        acts = list(session.scalars(select(OperatorAction.subscriber_id)))
    assert sorted(acts) == sorted([*ids, *ids[: 2 * FEW]])


def test_a_test_mail_is_compiled_before_the_lock_is_taken(
    sqlite_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else can write while it is compiled; the mail is what it was then."""
    campaign_id = b.sending_campaign(sqlite_parts, 1)
    compiles = sqlite_parts.renderer.campaign_message
    wrote: list[str] = []

    def meanwhile(session: Session, campaign: campaigns.Campaign) -> CompiledMessage:
        with sqlite_parts.sessions.begin() as other:  # waits 30 s in vain under a lock of ours
            other.execute(update(Subscriber).values(name="Another"))
            wrote.append("written")
        return compiles(session, campaign)

    monkeypatch.setattr(sqlite_parts.renderer, "campaign_message", meanwhile)
    send_test(
        sqlite_parts.sessions, campaign_id, b.parse_address("desk@news.test"),
        renderer=sqlite_parts.renderer, suppression_key=sqlite_parts.suppression_key,
        now=sqlite_parts.now(),
    )  # fmt: skip
    assert wrote == ["written"]
    with sqlite_parts.sessions() as session:
        kinds = session.scalars(select(delivery.c.kind).order_by(delivery.c.id)).all()
    assert kinds == ["campaign", "test"]


def test_a_batch_is_as_large_as_fits_into_its_time(sqlite_parts: Parts) -> None:
    took, at = iter([0.1, 0.1, 0.001, 0.001, 0.0, 9.0]), [0.0]
    batches = Batches(200, least=10, most=150, clock=lambda: at[0])
    sizes = []
    for seconds in took:
        with batches.transaction(sqlite_parts.sessions):
            at[0] += seconds
        sizes.append(batches.size)
    assert sizes == [40, 10, 20, 40, 80, 10]
