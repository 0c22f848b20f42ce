"""What a canary orders and how its sample is judged: pure, in milliseconds."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.canary import BadCanary, SampleOutcome, order_canary

WAIT = timedelta(minutes=10)


@pytest.mark.parametrize(
    ("text", "audience", "readers"),
    [
        ("1%", 100_000, 1_000),
        ("1 %", 100_001, 1_001),
        ("0.07%", 10_000, 7),
        ("0.0001%", 10, 1),
        ("99.9999%", 10, 10),
        ("500", 100_000, 500),
        ("500", 30, 30),
        ("1%", 0, 0),
    ],
)
def test_a_sample_is_a_share_or_a_number(text: str, audience: int, readers: int) -> None:
    assert order_canary(text, "3%", WAIT).readers_of(audience) == readers


@given(st.integers(1, 10**7), st.integers(1, 999_999))
def test_a_sample_has_one_reader_at_least_and_all_at_most(audience: int, share: int) -> None:
    order = order_canary(f"{share // 10_000}.{share % 10_000:04}%", "3%", WAIT)
    assert 1 <= order.readers_of(audience) <= audience
    assert order_canary(str(order), "3%", WAIT) == order


@pytest.mark.parametrize(
    "text", ["", "0", "0%", "100%", "101%", "-1%", "1,5%", "1e2", "1.5", "%", "a few", "٣%", "1%%"]
)
def test_what_is_no_sample_is_named(text: str) -> None:
    with pytest.raises(BadCanary, match="such as 1%, or a number of readers such as 500"):
        order_canary(text, "3%", WAIT)


@pytest.mark.parametrize("limit", ["3", "100%", "-1%", "some", "3%%"])
def test_what_is_no_limit_is_named(limit: str) -> None:
    with pytest.raises(BadCanary, match="no limit of a canary"):
        order_canary("1%", limit, WAIT)


@pytest.mark.parametrize(
    ("tried", "failed", "deferred", "uncertain", "well"),
    [
        (500, 15, 50, 0, True),
        (500, 16, 0, 0, False),
        (500, 0, 51, 0, False),
        (500, 0, 0, 500, True),
        (0, 0, 0, 0, False),
    ],
)
def test_more_than_a_limit_is_bad_and_as_much_is_not(
    tried: int, failed: int, deferred: int, uncertain: int, well: bool
) -> None:
    order = order_canary("500", "3%", WAIT)
    assert SampleOutcome(tried, failed, deferred, uncertain).goes_well(order.limit) is well


def test_a_limit_may_be_nothing_at_all() -> None:
    order = order_canary("500", "0%", WAIT)
    assert SampleOutcome(500, 0, 0, 0).goes_well(order.limit)
    assert not SampleOutcome(500, 1, 0, 0).goes_well(order.limit)
