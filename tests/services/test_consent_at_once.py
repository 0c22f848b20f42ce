"""Many threads press everything there is for one reader: what they said has one order."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable

import building as b
import pytest
from sqlalchemy import select

from mailer.domain.consent import ConsentState, Method, SubscriptionState, next_state
from mailer.services.consent.complaints import record_complaint
from mailer.services.consent.preferences import leave, leave_all, save_preferences
from mailer.services.consent.signup import confirm
from mailer.store.consents import Evidence
from mailer.store.models import ConsentEvent, Newsletter, Subscription
from mailer.store.readers import lock_reader
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

THREADS, PRESSES = 12, 12
BOTH = ("updates", "partner-promotions")


def token(link: str) -> str:
    return link.rpartition("/")[2]


@pytest.fixture
def presses(parts: Parts) -> list[Callable[[], object]]:
    """Everything that can be pressed for the one reader, each in a transaction of its own."""
    with parts.sessions.begin() as session:
        notice = b.newsletter(session)
        b.sign_up(parts, session, notice, "ada@readers.test", BOTH, now=parts.now())
    transport = MemoryTransport()
    b.send_all(parts, transport)
    confirmation = b.link("c", transport.accepted[-1][1].decode().replace("=\r\n", ""))
    leaving, choosing = token(parts.links.unsubscribe(1, 1)), token(parts.links.preferences(1, 1))

    def sign_up() -> None:
        with parts.sessions.begin() as session:
            made = session.get_one(Newsletter, 1)
            b.sign_up(parts, session, made, "ada@readers.test", BOTH, now=parts.now())

    def press_confirm() -> None:
        with parts.sessions.begin() as session:
            said = Evidence(Method.CONFIRM)
            ids = parts.identity.message_id
            confirm(session, parts.signer, confirmation, said, message_id_of=ids, now=parts.now())

    def one_click() -> None:
        with parts.sessions.begin() as session:
            leave(session, parts.signer, leaving, Evidence(Method.ONE_CLICK), now=parts.now())

    def everything() -> None:
        with parts.sessions.begin() as session:
            said = Evidence(Method.PREFERENCES)
            leave_all(session, parts.signer, choosing, said, now=parts.now())

    def complain() -> None:
        with parts.sessions.begin() as session:
            reader = lock_reader(session, 1)
            assert reader
            record_complaint(session, reader, Evidence(Method.COMPLAINT), now=parts.now())

    def save(*wanted: str) -> Callable[[], None]:
        def press() -> None:
            with parts.sessions.begin() as session:
                save_preferences(
                    session, parts.signer, choosing, wanted=frozenset(wanted), notice_sha256=None,
                    name=None, locale=None, evidence=Evidence(Method.PREFERENCES), now=parts.now(),
                )  # fmt: skip

        return press

    return [
        sign_up, press_confirm, one_click, everything, complain,
        save(), save(*BOTH), save("updates"), save("partner-promotions"),
    ]  # fmt: skip


def test_all_events_of_one_reader_stand_in_one_order_that_leads_to_where_they_are(
    parts: Parts, presses: list[Callable[[], object]]
) -> None:
    errors: list[BaseException] = []
    ready = threading.Barrier(THREADS)

    def press(seed: int) -> None:
        chance = random.Random(seed)
        ready.wait(b.WITHIN)
        try:
            for _ in range(PRESSES):
                chance.choice(presses)()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=press, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    folded: dict[int, SubscriptionState | None] = defaultdict(lambda: None)
    with parts.sessions() as session:
        events = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id)).all()
        for event in events:
            before, said = folded[event.purpose_id], ConsentState(event.state)
            after = next_state(before, said, Method(event.method))
            assert after is not None, f"event {event.id} changed nothing and was recorded"
            folded[event.purpose_id] = after
        stand = {each.purpose_id: each.state for each in session.scalars(select(Subscription))}
        assert {purpose: str(state) for purpose, state in folded.items()} == stand
    assert len(events) > len(presses)
