"""Every state × event × method of consent, against what is expected of it in words."""

from __future__ import annotations

from itertools import product

import pytest

from mailer.domain.consent import (
    ConsentState,
    Method,
    SubscriptionState,
    next_state,
    withdraws,
)

S, C = SubscriptionState, ConsentState

# What the reader, confirming by no old link, can bring about: one line a state, one column an
# event. A dot: nothing changes, and nothing is recorded.
EVENTS = "requested given refused withdrawn expired renewed terminated invalidated"
EXPECTED = """
    none      pending   active  refused  .     .        .       .     .
    pending   pending   active  refused  left  expired  .       left  refused
    active    .         .       .        left  expired  active  left  refused
    implied   active    active  .        left  expired  active  left  refused
    left      pending   active  .        .     .        .       .     .
    refused   pending   active  .        .     .        .       .     .
    expired   pending   active  refused  .     .        .       .     .
"""
IMPLIED = "implied"  # active, and it ends by itself
NAMED = {"none": None, IMPLIED: IMPLIED} | {state.value: state for state in S}
TABLE = {
    (NAMED[row[0]], C(event)): None if cell == "." else S(cell)
    for row in (line.split() for line in EXPECTED.strip().splitlines())
    for event, cell in zip(EVENTS.split(), row[1:], strict=True)
}
STATES = list(NAMED.values())
GIVES = {C.REQUESTED, C.GIVEN}
READERS = {Method.FORM, Method.CONFIRM, Method.PREFERENCES, Method.API}


def step(now: S | str | None, event: C, method: Method) -> S | None:
    """What the domain says."""
    if now == IMPLIED:
        return next_state(S.ACTIVE, event, method, implied=True)
    assert now is None or isinstance(now, S)
    return next_state(now, event, method)


def expected(now: S | str | None, event: C, method: Method) -> S | None:
    """The table, the two rules about who comes back after leaving, and whose word it takes."""
    if now == IMPLIED and event in GIVES and method not in READERS:
        return None  # no list and no command gives a word for the reader
    if now in (S.LEFT, S.REFUSED) and event in GIVES:
        if method not in READERS:
            return None  # no list and no command brings anybody back
        if (event, method) == (C.GIVEN, Method.CONFIRM):
            return None  # nor does the link of an old mail
    return TABLE[now, event]


@pytest.mark.parametrize("method", list(Method))
def test_every_step_is_the_one_that_is_written_down(method: Method) -> None:
    for now, event in product(STATES, C):
        assert step(now, event, method) is expected(now, event, method), (now, event)


def test_the_written_table_names_every_state_and_event_once() -> None:
    assert set(TABLE) == set(product(STATES, C))


@pytest.mark.parametrize("method", list(Method))
def test_an_event_that_is_repeated_changes_nothing(method: Method) -> None:
    for now, event in product([None, *S], C):
        after = next_state(now, event, method)
        if after is not None:
            assert next_state(after, event, method) in (None, after), (now, event)


def test_what_ends_a_consent_closes_what_is_on_its_way() -> None:
    assert {state for state in S if withdraws(state)} == {S.LEFT, S.REFUSED, S.EXPIRED}
