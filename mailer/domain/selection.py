"""Which articles go into a digest, and why each is in or out: rules and candidates → decisions.

Pure and in one order: the same input gives the same digest, in a preview and in the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailer.domain.rules import Rules, section_key
from mailer.domain.titles import like_titles, title_words

SAME_STORY_WITHIN = timedelta(days=3)
"""Like titles further apart are two stories: “Letters to the editor” comes every week."""


class Mark(StrEnum):
    """What an editor has said of an article, for one digest."""

    TOP = "top"
    PINNED = "pinned"
    EXCLUDED = "excluded"


class Reason(StrEnum):
    """Why an article is in, or out."""

    TOP = "top story"
    PINNED = "pinned"
    CHOSEN = "chosen"
    SENT = "sent"
    UPDATED = "sent, updated since"
    EXCLUDED = "excluded"
    AHEAD = "dated ahead"
    TOO_OLD = "too old"
    SAME_AS_SENT = "same story as one that was sent"
    SAME_STORY = "same story"
    SECTION_FULL = "section full"
    SOURCE_FULL = "source full"
    DIGEST_FULL = "digest full"

    @property
    def is_in(self) -> bool:
        """Whether the article goes."""
        return self in (Reason.TOP, Reason.PINNED, Reason.CHOSEN)


class Because(StrEnum):
    """Why one version of a story stays and not the other."""

    MARKED = "an editor wants it"
    PREFERRED = "its source is preferred"
    IMAGE = "it has an image"
    EARLIER = "it came earlier"
    ROOM = "there is room for its section and source"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the selection needs of an article. `moment`: published, or else added."""

    id: int
    title: str
    source: str
    section: str
    moment: datetime
    has_image: bool = False
    mark: Mark | None = None
    sent_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether an editor has asked for it."""
        return self.mark in (Mark.TOP, Mark.PINNED)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one article. `like`: the article that tells the same story instead of it."""

    id: int
    reason: Reason
    like: int | None = None
    because: Because | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The articles that go, in the mail's order, and after them the others, newest first."""

    decisions: tuple[Decision, ...]

    @property
    def chosen(self) -> tuple[int, ...]:
        """The articles that go, in the mail's order."""
        return tuple(each.id for each in self.decisions if each.reason.is_in)

    def merged_into(self, article: int) -> tuple[int, ...]:
        """Return the articles whose story is told by this one that goes."""
        same = Reason.SAME_STORY
        return tuple(
            each.id for each in self.decisions if each.reason is same and each.like == article
        )


def select_articles(candidates: Iterable[Candidate], rules: Rules, now: datetime) -> Selection:
    """Decide about every candidate.

    What was sent stays out, whatever else holds. What an editor excludes stays out, and what an
    editor wants goes in before all others, whatever its age, section and source; only the digest's
    own limit and a date ahead hold it back. Of one story one version goes.
    """
    newest_first = sorted(candidates, key=lambda each: (each.moment, each.id), reverse=True)
    choice = _Choice(rules, newest_first)
    free = [each for each in newest_first if not choice.settle_alone(each, now)]
    for story in _in_turn(choice.stories(free)):
        choice.settle_story(story)
    return Selection(tuple(choice.in_order()))


Story = list[Candidate]
"""The versions of one story, the best first."""


def _merit(candidate: Candidate, rules: Rules) -> tuple[bool, int, bool, datetime, int]:
    """Return which version of a story is best: the smallest."""
    return (
        not candidate.is_wanted,
        rules.preference(candidate.source),
        not candidate.has_image,
        candidate.moment,
        candidate.id,
    )


def _in_turn(stories: list[Story]) -> list[Story]:
    """Return the stories as they are given room: the top story, what is pinned, the newest."""
    newest = sorted(stories, key=lambda story: (story[0].moment, story[0].id), reverse=True)
    return sorted(newest, key=lambda story: (story[0].mark is not Mark.TOP, not story[0].is_wanted))


class _Choice:
    """The decisions so far."""

    def __init__(self, rules: Rules, newest_first: Sequence[Candidate]) -> None:
        self._rules = rules
        self._candidates = newest_first
        self._sent = [each for each in newest_first if each.sent_at is not None]
        self._chosen: list[Candidate] = []
        self._decided: dict[int, Decision] = {}
        self._of_section: Counter[str] = Counter()
        self._of_source: Counter[str] = Counter()
        self._like = like_titles({each.id: title_words(each.title) for each in newest_first})

    def stories(self, free: Sequence[Candidate]) -> list[Story]:
        """Group the versions of each story; each stands behind the first that it is like."""
        stories: list[Story] = []
        for candidate in sorted(free, key=lambda each: _merit(each, self._rules)):
            alone = candidate.is_wanted or candidate.id not in self._like
            best = (story for story in stories if self._are_like(story[0], candidate))
            known = None if alone else next(best, None)
            if known is None:
                stories.append([candidate])
            else:
                known.append(candidate)
        return stories

    def settle_alone(self, candidate: Candidate, now: datetime) -> bool:
        """Decide what needs no look at the other articles that might go; say whether that did."""
        reason, like = self._alone(candidate, now)
        if reason is not None:
            self._decided[candidate.id] = Decision(candidate.id, reason, like)
        return reason is not None

    def settle_story(self, story: Story) -> None:
        """Let the best version go for which there is room; the others stand behind it."""
        best = story[0]
        for candidate in story:
            told = self._told_already(candidate)
            if told is not None:
                self._decide(candidate, Reason.SAME_STORY, told)
                continue
            full = self._is_full(candidate)
            if full is not None:
                self._decided[candidate.id] = Decision(candidate.id, full)
                continue
            self._let_go(candidate)
            for other in story:
                if other is not candidate:
                    room = Because.ROOM if other is best else None
                    self._decide(other, Reason.SAME_STORY, candidate, room)
            return

    def in_order(self) -> list[Decision]:
        """Return all decisions: the mail's order, then the rest, newest first."""
        going = sorted(self._chosen, key=self._place)  # they stand newest first by now
        left = [each for each in self._candidates if not self._decided[each.id].reason.is_in]
        return [self._decided[each.id] for each in (*going, *left)]

    def _alone(self, candidate: Candidate, now: datetime) -> tuple[Reason | None, int | None]:
        if candidate.sent_at is not None:
            changed = candidate.updated_at
            later = changed is not None and changed > candidate.sent_at
            return (Reason.UPDATED if later else Reason.SENT), None
        if candidate.mark is Mark.EXCLUDED:
            return Reason.EXCLUDED, None
        if candidate.moment > now:
            return Reason.AHEAD, None
        if candidate.is_wanted:
            return None, None
        if self._rules.max_age is not None and now - candidate.moment > self._rules.max_age:
            return Reason.TOO_OLD, None
        for sent in self._sent if candidate.id in self._like else ():
            if self._are_like(sent, candidate):
                return Reason.SAME_AS_SENT, sent.id
        return None, None

    def _told_already(self, candidate: Candidate) -> Candidate | None:
        """Return the article that goes and tells the same story, if an editor asks for no other."""
        if candidate.is_wanted:
            return None
        return next((each for each in self._chosen if self._are_like(each, candidate)), None)

    def _are_like(self, one: Candidate, other: Candidate) -> bool:
        if one.id not in self._like.get(other.id, ()):
            return False
        return abs(one.moment - other.moment) <= SAME_STORY_WITHIN

    def _is_full(self, candidate: Candidate) -> Reason | None:
        rules = self._rules
        if not candidate.is_wanted:
            cap = rules.cap(candidate.section)
            if cap is not None and self._of_section[section_key(candidate.section)] >= cap:
                return Reason.SECTION_FULL
            most = rules.max_per_source
            if most is not None and self._of_source[candidate.source] >= most:
                return Reason.SOURCE_FULL
        return Reason.DIGEST_FULL if len(self._chosen) >= rules.max_articles else None

    def _let_go(self, candidate: Candidate) -> None:
        reason = Reason.CHOSEN
        if candidate.is_wanted:
            leads = candidate.mark is Mark.TOP and not self._chosen
            reason = Reason.TOP if leads else Reason.PINNED
        self._decided[candidate.id] = Decision(candidate.id, reason)
        self._chosen.append(candidate)
        self._of_section[section_key(candidate.section)] += 1
        self._of_source[candidate.source] += 1

    def _decide(
        self, candidate: Candidate, reason: Reason, told: Candidate, because: Because | None = None
    ) -> None:
        because = because or _why_better(told, candidate, self._rules)
        self._decided[candidate.id] = Decision(candidate.id, reason, told.id, because)

    def _place(self, candidate: Candidate) -> tuple[bool, int, bool]:
        """Return where an article stands in the mail; among equals the newer stands first."""
        top = self._decided[candidate.id].reason is Reason.TOP
        return not top, self._rules.rank(candidate.section), not candidate.is_wanted


def _why_better(stays: Candidate, goes: Candidate, rules: Rules) -> Because:
    """Return the first point in which the version that stays is better."""
    better, worse = _merit(stays, rules), _merit(goes, rules)
    points = (Because.MARKED, Because.PREFERRED, Because.IMAGE, Because.EARLIER)
    for number, point in enumerate(points):
        if better[number] != worse[number]:
            return point if better < worse else Because.ROOM
    return Because.EARLIER
