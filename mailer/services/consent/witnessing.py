"""Telling the witness folder what happens here, and asking it whether this database is an old one.

`visit`               every few seconds: the beat rises, and lines that wait reach the journals
`look_for_rollback`   when a process starts: an old database is halted before anybody is written to

A visit can be killed anywhere: the beat rises here first and there afterwards, and a line that was
written and not taken away here is written twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from mailer.store.engine import Sessions, reading
from mailer.store.halting import ADVICE, halt, halted_reason
from mailer.store.journal import Journal, forget_told, untold
from mailer.store.witness import Standing, highest_ids, raise_beat, skip_ids, standing_of
from mailer.store.witness_folder import BrokenWitness, Position, WitnessFolder

_log = structlog.get_logger()

_BATCH = 1_000
_STANDS_STILL = timedelta(hours=1)
"""Who was in a folder so lately has another one beside this: another machine's."""


@dataclass(frozen=True, slots=True)
class Look:
    """What comes of comparing a database with the folder; `wrong` is a sentence."""

    standing: Standing
    position: Position | None
    wrong: str | None

    @property
    def beat(self) -> int:
        """The highest beat that either knows of."""
        return max(self.standing.beat, self.position.beat if self.position else 0)

    @property
    def next_beat(self) -> int:
        """The beat of the next visit; the first one, killed before it has noted it, is the same."""
        return self.beat + 1 if self.position or self.standing.beat > 1 else 1

    @property
    def is_of_another(self) -> bool:
        """Whether the folder belongs to another database."""
        return self.position is not None and (
            self.position.installation != self.standing.installation
        )


def look(session: Session, folder: WitnessFolder) -> Look:
    """Compare this database with what the folder knows. Raises OSError."""
    standing = standing_of(session)
    try:
        position = folder.position()
    except BrokenWitness as broken:
        return Look(standing, None, str(broken))
    found = Look(standing, position, None)
    if found.is_of_another:
        assert position is not None
        return Look(
            standing,
            position,
            f"The witness folder {folder.path} belongs to another database (set up at "
            f"{position.installation}; this one at {standing.installation}): give each a "
            "MAILER_WITNESS_DIR of its own.",
        )
    if position is not None and standing.beat < position.beat:
        return Look(
            standing,
            position,
            f"This database is an old one: the witness folder {folder.path} was told of "
            f"{position.beat - standing.beat} later states of it, so that it was restored from "
            "a backup.",
        )
    return found


def visit(sessions: Sessions, folder: WitnessFolder, *, now: datetime) -> None:
    """Tell the folder how far this database has come; halt where it had come farther.

    Does nothing while another process is at it. Of an old database no position is noted, but its
    lines are told: who leaves now must stay away, too.
    """
    with folder.alone() as alone:
        if not alone:
            return
        with sessions.begin() as session:
            found = look(session, folder)
            wrong = found.wrong or _what_is_missing(found, folder, now)
            if wrong is not None:
                _halt(session, wrong, found, now)
            halted = halted_reason(session) is not None
            beat = found.beat if halted else found.next_beat
            if not halted:
                raise_beat(session, beat, now=now)
            ids = highest_ids(session)
        if found.is_of_another:
            return
        _tell(sessions, folder, beat)
        if not halted:
            folder.note(Position(found.standing.installation, beat, ids))


def look_for_rollback(sessions: Sessions, folder: WitnessFolder, *, now: datetime) -> str | None:
    """Halt this installation where its database is an old one; return why it is halted."""
    with reading(sessions) as session:
        try:
            found = look(session, folder)
        except OSError as error:
            _log.error("the witness folder cannot be read", reason=str(error))
            return halted_reason(session)
        if found.wrong is None:
            return halted_reason(session)
    with sessions.begin() as session:
        _halt(session, found.wrong, found, now)
        return halted_reason(session)


def _what_is_missing(found: Look, folder: WitnessFolder, now: datetime) -> str | None:
    """Say what an empty folder means: nothing at first, or where another one is in use."""
    seen_at = found.standing.seen_at
    if found.position or found.standing.beat <= 1 or not seen_at or now - seen_at < _STANDS_STILL:
        return None
    return (
        f"The witness folder {folder.path} is empty, and this database was in one at "
        f"{seen_at:%Y-%m-%d %H:%M} UTC: it was moved or restored without its folder, or "
        "MAILER_WITNESS_DIR is another one now."
    )


def _halt(session: Session, reason: str, found: Look, now: datetime) -> None:
    noted: Mapping[str, int] = {}
    if found.position is not None and not found.is_of_another:
        noted = found.position.ids
    skip_ids(session, noted)
    if halt(session, reason, now=now):
        _log.error("halted", reason=reason, advice=ADVICE)


def _tell(sessions: Sessions, folder: WitnessFolder, beat: int) -> None:
    """Append the lines that wait to the journals, and then take them away here."""
    while True:
        with reading(sessions) as session:
            waiting = untold(session, _BATCH)
        if not waiting:
            return
        for journal in Journal:
            lines = [each.line for each in waiting if each.journal == journal]
            if lines:
                folder.append(journal.value, lines, beat=beat)
        with sessions.begin() as session:
            forget_told(session, [each.id for each in waiting])
        if len(waiting) < _BATCH:
            return
