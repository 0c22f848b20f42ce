"""Which articles go, and why: rules that hold whatever the candidates are."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.rules import BadRules, Rules, section_key
from mailer.domain.selection import (
    SAME_STORY_WITHIN,
    Because,
    Candidate,
    Decision,
    Mark,
    Reason,
    Selection,
    select_articles,
)
from mailer.domain.titles import like_titles, tell_the_same, title_words

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
WORDS = ("harbour", "opens", "again", "after", "storm", "minister", "says", "2")


def candidate(number: int, title: str = "", *, hours: float = 1.0, **more: object) -> Candidate:
    values = {"source": "desk", "section": "", **more}
    moment = NOW - timedelta(hours=hours)
    return Candidate(number, title or f"Story number {number}", moment=moment, **values)  # type: ignore[arg-type]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Candidate], Rules]:
    candidates = [
        Candidate(
            id=number,
            title=" ".join(draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=7))),
            source=draw(st.sampled_from("ABC")),
            section=draw(st.sampled_from(("Politics", "politics!", "Culture", ""))),
            moment=NOW - timedelta(hours=draw(st.integers(-3, 100))),
            has_image=draw(st.booleans()),
            mark=draw(st.sampled_from((None, None, None, *Mark))),
            sent_at=draw(st.sampled_from((None, None, None, NOW - timedelta(hours=20)))),
            updated_at=draw(st.sampled_from((None, NOW))),
        )
        for number in range(draw(st.integers(0, 14)))
    ]
    most = draw(st.integers(1, 8))
    return candidates, Rules(
        max_articles=most,
        min_articles=draw(st.integers(1, most)),
        max_age=draw(st.sampled_from((None, timedelta(hours=50)))),
        max_per_source=draw(st.sampled_from((None, 1, 2))),
        caps=draw(st.sampled_from(({}, {"politics": 1}, {"politics": 0, "*": 2}))),
        order=draw(st.sampled_from(((), ("culture", "politics")))),
        preferred=draw(st.sampled_from(((), ("B",)))),
    )


def wanted(each: Candidate) -> bool:
    return each.mark in (Mark.TOP, Mark.PINNED)


@given(worlds())
def test_the_rules_hold_whatever_the_candidates_are(world: tuple[list[Candidate], Rules]) -> None:
    candidates, rules = world
    found = select_articles(candidates, rules, NOW)
    by_id = {each.id: each for each in candidates}
    chosen = [by_id[number] for number in found.chosen]
    reasons = {each.id: each.reason for each in found.decisions}

    assert sorted(reasons) == sorted(by_id), "every candidate has one reason"
    assert len(chosen) <= rules.max_articles
    assert not any(each.sent_at or each.mark is Mark.EXCLUDED for each in chosen)
    assert all(each.moment <= NOW for each in chosen)
    free = [each for each in chosen if not wanted(each)]
    assert all(not rules.max_age or NOW - each.moment <= rules.max_age for each in free)

    def sizes(of: list[Candidate]) -> tuple[Counter[str], Counter[str]]:
        return Counter(section_key(each.section) for each in of), Counter(
            each.source for each in of
        )

    sections, sources = sizes(chosen)
    asked_for = sizes([each for each in chosen if wanted(each)])
    for each in free:
        cap, key = rules.cap(each.section), section_key(each.section)
        assert cap is None or sections[key] <= max(cap, asked_for[0][key])
        most = rules.max_per_source
        assert most is None or sources[each.source] <= max(most, asked_for[1][each.source])

    may_go = [
        each for each in candidates if wanted(each) and not each.sent_at and each.moment <= NOW
    ]
    assert len(set(found.chosen) & {each.id for each in may_go}) == min(
        len(may_go), rules.max_articles
    )
    if any(each.mark is Mark.TOP for each in may_go):
        assert chosen[0].mark is Mark.TOP
        assert reasons[chosen[0].id] is Reason.TOP
    assert sum(reason is Reason.TOP for reason in reasons.values()) <= 1

    ranks = [rules.rank(each.section) for each in chosen if reasons[each.id] is not Reason.TOP]
    assert ranks == sorted(ranks)


@given(worlds())
def test_no_two_that_go_tell_the_same_story_unless_an_editor_wants_both(
    world: tuple[list[Candidate], Rules],
) -> None:
    candidates, rules = world
    chosen = set(select_articles(candidates, rules, NOW).chosen)
    told = [each for each in candidates if each.id in chosen or each.sent_at]
    for each in told:
        if wanted(each) or each.sent_at:
            continue
        for other in told:
            near = abs(each.moment - other.moment) <= SAME_STORY_WITHIN
            assert (
                other is each
                or not near
                or not tell_the_same(title_words(each.title), title_words(other.title))
            )


@given(worlds(), st.randoms())
def test_the_order_in_which_candidates_come_changes_nothing(world, random) -> None:
    candidates, rules = world
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert select_articles(candidates, rules, NOW) == select_articles(shuffled, rules, NOW)


@given(worlds())
def test_one_more_place_takes_nobody_out_who_was_in(world) -> None:
    candidates, rules = world
    more = Rules.from_kept(rules.as_kept(), rules.max_articles + 1, rules.min_articles)
    before = select_articles(candidates, rules, NOW).chosen
    assert set(before) <= set(select_articles(candidates, more, NOW).chosen)


def decided(found: Selection, number: int) -> Decision:
    return next(each for each in found.decisions if each.id == number)


TITLE = "Harbour opens again after the storm"
VERSIONS = {
    "a source that is preferred": (
        {"source": "B"}, {"source": "A", "has_image": True}, Because.PREFERRED,
    ),
    "an image": ({"has_image": True, "hours": 1}, {"hours": 5}, Because.IMAGE),
    "being earlier": ({"hours": 5}, {"hours": 1}, Because.EARLIER),
    "being pinned": ({"mark": Mark.PINNED}, {"source": "B"}, Because.MARKED),
}  # fmt: skip


@pytest.mark.parametrize("case", VERSIONS)
def test_of_one_story_the_better_version_stays_and_it_is_said_why(case: str) -> None:
    better, worse, because = VERSIONS[case]
    found = select_articles(
        [candidate(1, TITLE, **worse), candidate(2, f"{TITLE.upper()}!", **better)],
        Rules(preferred=("B",)), NOW,
    )  # fmt: skip
    assert found.chosen == (2,)
    assert decided(found, 1) == Decision(1, Reason.SAME_STORY, 2, because)
    assert found.merged_into(2) == (1,)


def test_a_story_is_not_lost_where_only_its_better_version_has_no_room() -> None:
    found = select_articles(
        [
            candidate(1, "Something newer", source="A", hours=0),
            candidate(2, TITLE, source="A", has_image=True),
            candidate(3, TITLE, source="B"),
        ],
        Rules(max_per_source=1), NOW,
    )  # fmt: skip
    assert found.chosen == (1, 3)
    assert decided(found, 2) == Decision(2, Reason.SAME_STORY, 3, Because.ROOM)


def test_what_was_sent_stays_out_and_so_does_its_story_of_another_source() -> None:
    sent = NOW - timedelta(hours=2)
    found = select_articles(
        [
            candidate(1, TITLE, hours=4, sent_at=sent, mark=Mark.PINNED),
            candidate(2, "Another story", hours=4, sent_at=sent, updated_at=NOW),
            candidate(3, TITLE, source="B"),
        ],
        Rules(), NOW,
    )  # fmt: skip
    assert [(each.id, each.reason, each.like) for each in found.decisions] == [
        (3, Reason.SAME_AS_SENT, 1), (2, Reason.UPDATED, None), (1, Reason.SENT, None),
    ]  # fmt: skip


def test_a_title_that_comes_every_week_is_a_story_every_week() -> None:
    weekly = [
        candidate(1, "Letters to the editor", hours=1),
        candidate(2, "Letters to the editor", hours=7 * 24, sent_at=NOW - timedelta(days=6)),
    ]
    assert select_articles(weekly, Rules(), NOW).chosen == (1,)


def test_sections_stand_in_their_order_and_a_cap_of_nought_leaves_one_out() -> None:
    found = select_articles(
        [
            candidate(1, section="Sport", hours=1),
            candidate(2, section="Politics", hours=3),
            candidate(3, section="POLITICS", hours=2),
            candidate(4, section="Arts & Culture", hours=9),
            candidate(5, section="", hours=1),
            candidate(6, section="Politics", hours=9, mark=Mark.TOP),
        ],
        Rules(caps={"sport": 0, "politics": 2}, order=("arts culture", "politics")), NOW,
    )  # fmt: skip
    assert found.chosen == (6, 4, 3, 5)
    assert decided(found, 1).reason is Reason.SECTION_FULL
    assert decided(found, 2).reason is Reason.SECTION_FULL


@given(st.lists(st.lists(st.sampled_from(WORDS + tuple("abcdefghij")), max_size=12), max_size=14))
def test_like_titles_are_all_found_without_looking_at_every_pair(words: list[list[str]]) -> None:
    titles = {number: title_words(" ".join(each)) for number, each in enumerate(words)}
    pairs = {
        (one, other)
        for one in titles
        for other in titles
        if one != other and tell_the_same(titles[one], titles[other])
    }
    assert {(one, other) for one, like in like_titles(titles).items() for other in like} == pairs


SAME = {
    "case, accents, punctuation": ("Élection à Lagos : le vote", "ELECTION A LAGOS — le vote!"),
    "an apostrophe": ("Angie’s list of ports", "Angies list of ports"),
    "a word in front": (f"BREAKING: {TITLE} of May", f"{TITLE} of May"),
    "Arabic vowel signs and strokes": ("المِينَاء يَفتَح أبوابه", "المـينـاء يفتح أبوابه"),
    "Arabic with a word more": (
        "عاجل الميناء يفتح أبوابه بعد العاصفة", "الميناء يفتح أبوابه بعد العاصفة"
    ),
    "Amharic punctuation": ("ወደቡ፡ከማዕበሉ በኋላ ተከፈተ።", "ወደቡ ከማዕበሉ በኋላ ተከፈተ"),
    "Hausa letters": ("An sake buɗe tashar jirgi", "An sake buɗe tashar jirgi!"),
}  # fmt: skip
OTHER = {
    "another number": (
        "The war in the north: what we know on day 612",
        "The war in the north: what we know on day 613",
    ),
    "a short title with a word more": ("War ends", "War never ends"),
    "words replaced": ("Court convicts the former minister", "Court acquits the former minister"),
    "nothing in common but signs": ("!!!", "???"),
    "Amharic with another word": ("ወደቡ ከማዕበሉ በኋላ ተከፈተ", "ወደቡ ከማዕበሉ በኋላ ተዘጋ"),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_titles_that_tell_the_same(case: str) -> None:
    one, other = map(title_words, SAME[case])
    assert tell_the_same(one, other)
    assert tell_the_same(other, one)


@pytest.mark.parametrize("case", OTHER)
def test_titles_that_tell_something_else(case: str) -> None:
    one, other = map(title_words, OTHER[case])
    assert not tell_the_same(one, other)


@given(worlds())
def test_rules_come_back_as_they_were_kept(world) -> None:
    rules = world[1]
    again = Rules.from_kept(rules.as_kept(), rules.max_articles, rules.min_articles)
    assert again == rules


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_articles": 51}, {"min_articles": 0}, {"min_articles": 5, "max_articles": 4},
        {"max_per_source": 0}, {"caps": {"politics": -1}}, {"caps": {"": 1}},
        {"max_age": timedelta()}, {"max_age": timedelta(days=400)}, {"order": ("",)},
    ],
)  # fmt: skip
def test_rules_that_nobody_can_follow_are_refused(wrong) -> None:
    with pytest.raises(BadRules):
        Rules(**wrong)
