"""What a log proves, and when what is missing in it proves nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailer.domain.evidence import (
    MARGIN,
    Doubt,
    Known,
    Said,
    Sighting,
    Span,
    joined,
    judge,
    weakness,
)

PLANNED = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
DOUBTED = PLANNED + timedelta(hours=1)
DOUBT = Doubt(7, 202611, 1, PLANNED, DOUBTED)
MINUTE = timedelta(minutes=1)
WHOLE = [Span(PLANNED - MARGIN, DOUBTED + MARGIN)]


def seen(said: Said, queue_id: str = "A", at: datetime = DOUBTED) -> dict[str, Sighting]:
    return {queue_id: Sighting(said, queue_id, at)}


def test_acceptance_is_believed_of_any_log() -> None:
    sightings = {7: seen(Said.NOT_ACCEPTED, "A") | seen(Said.SEEN, "B") | seen(Said.ACCEPTED, "C")}
    found = judge(DOUBT, sightings, [], "a weak log")
    assert (found.said, found.queue_id, found.at) == (Said.ACCEPTED, "C", DOUBTED)


def test_what_was_begun_and_never_ended_stays_uncertain() -> None:
    found = judge(DOUBT, {7: seen(Said.NOT_ACCEPTED, "A") | seen(Said.SEEN, "B")}, WHOLE, "")
    assert (found.said, found.queue_id) == (Said.SEEN, "B")


@pytest.mark.parametrize("sightings", [{}, {7: seen(Said.NOT_ACCEPTED)}, {8: seen(Said.ACCEPTED)}])
def test_what_is_missing_or_refused_in_the_whole_log_was_not_accepted(
    sightings: dict[int, dict[str, Sighting]],
) -> None:
    assert judge(DOUBT, sightings, WHOLE, "").said is Said.NOT_ACCEPTED
    assert judge(DOUBT, sightings, WHOLE, "a weak log").said is None


@pytest.mark.parametrize(
    "spans",
    [
        [],
        [Span(PLANNED, DOUBTED + MARGIN)],
        [Span(PLANNED - MARGIN, DOUBTED + MARGIN - timedelta(seconds=1))],
        [Span(DOUBTED + MARGIN, PLANNED - MARGIN)],
        [Span(PLANNED - MARGIN, PLANNED), Span(PLANNED + MARGIN + MINUTE, DOUBTED + MARGIN)],
    ],
)
def test_a_log_that_does_not_cover_the_time_proves_nothing(spans: list[Span]) -> None:
    found = judge(DOUBT, {}, spans, "")
    assert found.said is None
    assert "does not cover 2026-11-24 08:50:00 UTC to 2026-11-24 10:10:00 UTC" in found.reason


def test_files_that_follow_each_other_are_one_log_in_any_order() -> None:
    halves = [Span(PLANNED + MINUTE, DOUBTED + MARGIN), Span(PLANNED - MARGIN, PLANNED)]
    assert judge(DOUBT, {}, halves, "").said is Said.NOT_ACCEPTED
    within = Span(PLANNED, PLANNED + MINUTE)
    assert joined([*WHOLE, within]) == WHOLE


KNOWN = {number: Known(f"Q{number}", PLANNED + number * MINUTE) for number in range(5)}


def log_of(off: timedelta = timedelta()) -> dict[int, dict[str, Sighting]]:
    return {
        number: seen(Said.ACCEPTED, mail.queue_id, mail.at + off) for number, mail in KNOWN.items()
    }


def test_a_log_is_as_strong_as_what_it_shows_of_what_is_known() -> None:
    assert weakness(log_of(), KNOWN, lines_lost=False) == ""
    assert "dropped" in weakness(log_of(), KNOWN, lines_lost=True)
    assert "to compare" in weakness({}, {}, lines_lost=False)
    of_another_relay = {number: seen(Said.ACCEPTED, "X") for number in KNOWN}
    assert "5 of 5" in weakness(of_another_relay, KNOWN, lines_lost=False)
    with_a_hole = {number: found for number, found in log_of().items() if number != 3}
    assert "1 of 5" in weakness(with_a_hole, KNOWN, lines_lost=False)


def test_a_wrong_time_zone_is_noticed_and_one_late_mail_is_not() -> None:
    wrong = weakness(log_of(timedelta(hours=1)), KNOWN, lines_lost=False)
    assert "off by 60 minutes" in wrong
    assert "--log-zone" in wrong
    assert weakness(log_of(timedelta(minutes=-2)), KNOWN, lines_lost=False) == ""
    late = KNOWN | {4: Known("Q4", PLANNED + timedelta(hours=5))}
    assert weakness(log_of(), late, lines_lost=False) == ""
