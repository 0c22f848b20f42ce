"""Whether every wording is still the one that was hashed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from mailer.domain.notices import NoticePurpose, NoticeWording
from mailer.services.audit.findings import Finding, Kind
from mailer.store.auditing_log import NoticeRow, PurposeRow


class NoticeCheck:
    """The wordings, each hashed again; those that are not what they were are `broken`."""

    def __init__(self) -> None:
        self.rows: dict[int, NoticeRow] = {}
        self.broken: set[int] = set()
        self._offered: dict[int, frozenset[str]] = {}
        self._versions: dict[tuple[int, str], int] = {}
        self._objections: dict[tuple[int, int], str] = {}
        self._unchecked: Counter[int] = Counter()
        self._right: set[int] = set()
        self._wrong: Counter[int] = Counter()

    def take(self, rows: Iterable[NoticeRow]) -> Iterator[Finding]:
        """Add those that are not known yet, in the order of their versions; yield what is wrong."""
        for row in rows:
            if row.id in self.rows:
                continue
            self.rows[row.id] = row
            self._offered[row.id] = _offered(row)
            before = self._versions.get((row.newsletter_id, row.locale), 0)
            self._versions[row.newsletter_id, row.locale] = row.version
            if not _is_whole(row):
                self.broken.add(row.id)
                yield _found(
                    row.id,
                    "Its row does not come to its hash: what readers agreed to was changed "
                    "afterwards.",
                )
            elif row.version != before + 1:
                yield _found(
                    row.id,
                    f"It is version {row.version} in “{row.locale}”, and there is no version "
                    f"{before + 1} before it.",
                )

    def unchecked_under(self, notice_id: int) -> int:
        """Note that one more leaf cannot be checked for its wording; return how many by now."""
        self._unchecked[notice_id] += 1
        return self._unchecked[notice_id]

    def judged(self, notice_id: int, *, is_right: bool) -> None:
        """Note whether a leaf that names this wording is that of its event."""
        if is_right:
            self._right.add(notice_id)
        else:
            self._wrong[notice_id] += 1

    def rest(self) -> Iterator[Finding]:
        """Yield which wordings are why their events could not be checked, or do not hold."""
        for number, events in sorted(self._unchecked.items()):
            changed = "was changed" if number in self.broken else "is gone"
            yield _found(
                number,
                f"It {changed}, and {events} consent events were given under it, whose leaves "
                "cannot be checked: put it back, and audit again.",
            )
        for number, events in sorted(self._wrong.items()):
            if events > 1 and number not in self._right:
                yield _found(
                    number,
                    f"None of the {events} consent events that were given under it comes to its "
                    "leaf hash: it was changed together with its own hash.",
                )

    def objection(self, notice_id: int, purpose: PurposeRow) -> str:
        """Say why nobody can have agreed to this purpose under this wording; empty: they can."""
        key = (notice_id, purpose.id)
        if key not in self._objections:
            self._objections[key] = self._why_not(notice_id, purpose)
        return self._objections[key]

    def _why_not(self, notice_id: int, purpose: PurposeRow) -> str:
        row = self.rows[notice_id]
        if row.newsletter_id != purpose.newsletter_id:
            return f"It was given under notice {notice_id}, which is another newsletter's."
        if purpose.slug not in self._offered[notice_id]:
            return f"It is for {purpose.slug}, which notice {notice_id} did not offer."
        return ""


def _is_whole(row: NoticeRow) -> bool:
    try:
        wording = NoticeWording(
            newsletter=str(row.newsletter),
            version=row.version,
            locale=row.locale,
            text=row.text,
            purposes=tuple(NoticePurpose(**purpose) for purpose in json.loads(row.purposes)),
            controller=json.loads(row.controller),
            links=json.loads(row.links),
        )
        return wording.sha256 == row.sha256
    except (TypeError, ValueError, AttributeError):
        return False


def _offered(row: NoticeRow) -> frozenset[str]:
    try:
        purposes: list[dict[str, Any]] = json.loads(row.purposes)
        return frozenset(str(purpose["slug"]) for purpose in purposes)
    except (TypeError, ValueError, LookupError):
        return frozenset()


def _found(row: int, words: str) -> Finding:
    return Finding(Kind.NOTICE, "notice", str(row), words)
