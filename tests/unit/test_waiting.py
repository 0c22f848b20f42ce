"""What a relay's connections take next, and how fast."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mailer.services.delivery.rate import Bucket, Speed
from mailer.services.delivery.waiting import ByProvider, InOrder, ProviderPace
from mailer.services.mails.composing import Prepared
from mailer.store.ledger import Claimed


def _mail(provider: str, number: int = 0) -> Prepared:
    claimed = Claimed(
        number, 202611, 1, "campaign", 1, 1, number, 1, 0, 0, provider, f"r@{provider}", ""
    )
    return Prepared(claimed, None)


def _names(taken: list[Prepared]) -> list[str]:
    return [each.claimed.provider for each in taken]


def _all(waiting: ByProvider | InOrder) -> list[Prepared]:
    taken = []
    while (each := waiting.take()) is not None:
        taken.append(each)
    return taken


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_a_relay_that_queues_gets_everything_in_order() -> None:
    waiting = InOrder()
    for number, provider in enumerate("aabac"):
        waiting.put(_mail(provider, number))
    assert [each.claimed.id for each in _all(waiting)] == [0, 1, 2, 3, 4]
    assert waiting.take() is None


def test_what_waits_too_long_for_a_slow_relay_is_given_up() -> None:
    clock = Clock()
    waiting = InOrder(clock=clock)
    waiting.put(_mail("a", 1))
    clock.time += 40
    waiting.put(_mail("a", 2))
    assert [claimed.id for claimed in waiting.stale(30.0)] == [1]
    assert [each.claimed.id for each in _all(waiting)] == [2]


def test_every_provider_has_its_turn_and_no_more_connections_than_it_may_have() -> None:
    waiting = ByProvider()
    waiting.limit(2, None, {})
    for provider in "aaaaaab":
        waiting.put(_mail(provider))
    taken = _all(waiting)
    assert _names(taken) == ["a", "b", "a"]
    assert len(waiting) == 4
    waiting.done(taken[0])
    assert _names(_all(waiting)) == ["a"]


def test_a_provider_that_failed_gets_one_mail_at_a_time_until_it_works() -> None:
    waiting = ByProvider()
    waiting.limit(5, None, {"a": ProviderPace(True, None)})
    for provider in "aab":
        waiting.put(_mail(provider))
    probe, _ = taken = _all(waiting)
    assert _names(taken) == ["a", "b"]
    assert waiting.crowded(lambda _: 7.0) == {"a": 7.0}
    waiting.limit(5, None, {"a": ProviderPace(False, None)})
    waiting.done(probe)
    assert _names(_all(waiting)) == ["a"]


def test_a_provider_is_sent_to_as_fast_as_it_may_be_and_holds_up_no_other() -> None:
    waiting = ByProvider()
    waiting.limit(100, None, {"slow": ProviderPace(False, 0.001)})
    for _ in range(20):
        waiting.put(_mail("slow"))
        waiting.put(_mail("quick"))
    assert Counter(_names(_all(waiting))) == {"slow": 1, "quick": 20}


def test_what_waits_too_long_for_its_provider_is_given_up() -> None:
    clock = Clock()
    waiting = ByProvider(clock=clock)
    waiting.limit(0, None, {})
    waiting.put(_mail("a", 1))
    clock.time += 20
    waiting.put(_mail("a", 2))
    clock.time += 20
    assert [claimed.id for claimed in waiting.stale(30.0)] == [1]
    assert [claimed.id for claimed in waiting.clear_provider("a")] == [2]
    assert waiting.clear_provider("a") == []
    assert len(waiting) == 0


@given(st.lists(st.tuples(st.sampled_from("pdcl"), st.sampled_from("abc")), max_size=60))
def test_nothing_is_lost_or_doubled_whatever_is_asked(steps: list[tuple[str, str]]) -> None:
    waiting, inside, in_hand, number = ByProvider(), set[int](), list[Prepared](), 0
    waiting.limit(2, None, {})
    for step, provider in steps:
        if step == "p":
            number += 1
            waiting.put(_mail(provider, number))
            inside.add(number)
        elif step == "d":
            taken: Any = waiting.take()
            if taken is not None:
                inside.remove(taken.claimed.id)
                in_hand.append(taken)
            elif in_hand:
                waiting.done(in_hand.pop())
        else:
            gone = waiting.clear_provider(provider) if step == "c" else waiting.clear()
            inside -= {claimed.id for claimed in gone}
            if step == "l":
                assert inside == set()
        assert len(waiting) == len(inside)


def test_a_bucket_gives_no_more_than_its_rate() -> None:
    clock = Clock()
    bucket = Bucket(10.0, clock=clock)
    assert [bucket.take() for _ in range(3)] == [True, False, False]
    assert 0.09 < bucket.wait <= 0.1
    clock.time += 0.35
    assert bucket.fill()
    assert [bucket.take() for _ in range(2)] == [True, False]


def test_a_speed_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    speed = Speed(clock=clock)
    for _ in range(100):
        clock.time += 0.1
        speed.took("a")
    speed.took("b")
    assert 4 < speed.of("a") < 11
    assert speed.of() > speed.of("a")
    clock.time += 60
    assert speed.of() == 0.0
