"""Which relay takes a mail, and how fast it may be sent to."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.deliveries import Lane
from mailer.domain.pace import NO_CEILING, allowed, ceiling, share_of_total, slowed
from mailer.domain.routes import Route, Share, Standing, in_order, share_of

W, P, C = Standing.WORKS, Standing.ON_PROBATION, Standing.CLOSED
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _route(relay_id: int, standing: Standing = W, **scope: int | None) -> Route:
    lane = scope.get("lane")
    return Route(
        relay_id,
        scope.get("newsletter"),
        None if lane is None else Lane(lane),
        scope.get("preference") or 0,
        standing,
    )


def test_a_relay_for_one_newsletter_or_lane_comes_before_one_for_all() -> None:
    routes = [
        _route(1, preference=-5),
        _route(2, lane=Lane.BREAKING),
        _route(3, newsletter=7),
        _route(4, newsletter=7, lane=Lane.BREAKING),
        _route(5, newsletter=8),
        _route(6, preference=-9),
    ]
    order = [route.relay_id for route in in_order(routes, 7, Lane.BREAKING)]
    assert order == [4, 3, 2, 6, 1]


@pytest.mark.parametrize(
    ("standings", "shares"),
    [
        ([W, W], ["all", "none"]),
        ([C, W], ["none", "all"]),
        ([P, W], ["one", "all"]),
        ([P, C], ["one", "none"]),
        ([P, P], ["one", "one"]),
        ([C, C], ["none", "none"]),
    ],
)
def test_the_next_relay_takes_over_and_a_failed_one_is_tried_with_one_mail(
    standings: list[Standing], shares: list[str]
) -> None:
    routes = [_route(number, standing) for number, standing in enumerate(standings)]
    found = [share_of(number, routes, 1, Lane.REGULAR) for number in range(len(routes))]
    assert found == [Share(share) for share in shares]


@given(
    st.lists(
        st.builds(
            Route,
            st.integers(1, 50),
            st.sampled_from([None, 1, 2]),
            st.sampled_from([None, *Lane]),
            st.integers(-3, 3),
            st.sampled_from(list(Standing)),
        ),
        unique_by=lambda route: route.relay_id,
    ),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(list(Lane)),
)
def test_some_mail_is_never_given_wholly_to_two_relays_and_to_one_if_any_works(
    routes: list[Route], newsletter_id: int, lane: Lane
) -> None:
    shares = {route: share_of(route.relay_id, routes, newsletter_id, lane) for route in routes}
    taken = [route for route, share in shares.items() if share is Share.ALL]
    working = [r for r in routes if r.standing is W and r.leads(newsletter_id, lane)]
    assert len(taken) == bool(working)
    assert all(route.leads(newsletter_id, lane) for route in taken)


def test_who_was_too_fast_goes_on_at_half_the_speed_and_the_limit_grows_until_it_is_forgotten() -> (
    None
):
    rate = slowed(40.0)
    assert rate == 20.0
    assert allowed(rate, NOW, NOW) == 20.0
    assert allowed(rate, NOW, NOW + timedelta(minutes=10)) == 40.0
    assert allowed(rate, NOW, NOW + timedelta(minutes=31)) is None
    assert allowed(rate, NOW + timedelta(minutes=5), NOW) == 20.0
    assert slowed(0.0) > 0


@given(st.integers(0, 1000), st.integers(1, 30))
def test_the_shares_of_all_workers_make_the_total(total: int, workers: int) -> None:
    shares = [share_of_total(total, place, workers) for place in range(workers)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


def test_a_warm_up_grows_from_day_to_day() -> None:
    assert [ceiling(500, 1.5, day) for day in (0, 1, 2)] == [500, 750, 1125]
    assert ceiling(500, 1.0, 4000) == 500
    assert ceiling(500, 10.0, 400) == ceiling(10**12, 1.0, 0) == NO_CEILING
