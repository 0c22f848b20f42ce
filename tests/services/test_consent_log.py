"""The sequencer: every leaf gets one place, without gaps, whoever dies or writes beside it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import building as b
import pytest
from conftest import KEYS
from log_rows import add_events, leaf_hashes
from processes import clean_environment
from sqlalchemy import delete, event, func, select, update
from sqlalchemy.orm import Session
from tampering import unguarded

from mailer.domain import merkle
from mailer.services.consent.log import sequence_in_turn, sequence_leaves
from mailer.store.log import LogDamaged, LogTree, hold_log, log_size, sequence
from mailer.store.models import ConsentEvent, LogEntry, LogTile, PendingLeaf
from mailer.wiring import Parts


def number_of(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def whole_log(parts: Parts, expected: int) -> None:
    """Check that the log holds this many leaves, nobody waits, and all ways to the root agree."""
    with parts.sessions() as session:
        hashes = leaf_hashes(session)
        assert len(hashes) == expected == log_size(session)
        assert number_of(session, PendingLeaf) == 0
        tiles = set(session.execute(select(LogTile.level, LogTile.number)).all())
        assert tiles == set(merkle.completed_tiles(0, expected))
        for tile in session.scalars(select(LogTile)):
            span = 256**tile.level
            below = [
                merkle.root_of(hashes[(tile.number * 256 + n) * span :][:span]) for n in range(256)
            ]
            assert tile.hashes == b"".join(below)
            assert tile.root == merkle.root_of(below)
        assert LogTree(session, expected).root() == merkle.root_of(hashes)


def test_leaves_get_places_in_the_order_of_their_events(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.sign_up(parts, session, b.newsletter(session), "ada@readers.test")
    with parts.sessions() as session:
        assert log_size(session) == 0
    assert sequence_leaves(parts.sessions) == 1
    b.one_reader(parts)
    assert sequence_leaves(parts.sessions) == 1
    assert sequence_leaves(parts.sessions) == 0
    with parts.sessions() as session:
        places = session.execute(select(LogEntry.leaf_index, LogEntry.event)).all()
        assert dict(places) == {0: 1, 1: 2}
    whole_log(parts, 2)


def test_tiles_are_those_of_the_naive_tree(parts: Parts) -> None:
    _grow(parts, (1, 254, 1, 1, 700))  # around the ends of tiles


def test_tiles_of_tiles_are_those_of_the_naive_tree(sqlite_parts: Parts) -> None:
    _grow(sqlite_parts, (300, 65_536))  # the second time beyond a batch


def _grow(parts: Parts, steps: tuple[int, ...]) -> None:
    """Sequence so many events, a step after the other, and compare the log with the plain way."""
    count = 0
    for more in steps:
        with parts.sessions.begin() as session:
            add_events(session, more, first=count)
        count += more
        assert sequence_leaves(parts.sessions, pause=lambda _: None) == more
    whole_log(parts, count)


def test_proofs_from_tiles_hold_against_the_naive_root(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        add_events(session, 1_000)
    sequence_leaves(parts.sessions)
    with parts.sessions() as session:
        hashes = leaf_hashes(session)
        tree = LogTree(session, 1_000)
        for size in (1, 255, 256, 257, 1_000):
            root = merkle.root_of(hashes[:size])
            assert tree.root(size) == root
            for index in {0, size // 2, size - 1}:
                path = tree.inclusion_path(index, size)
                assert merkle.includes(root, hashes[index], index, size, path)
            path = tree.consistency_path(size, 1_000)
            assert merkle.extends(size, root, 1_000, merkle.root_of(hashes), path)


def test_writers_beside_two_sequencers_leave_no_gap_and_nothing_twice(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        add_events(session, 1)
    failed: list[BaseException] = []
    written = threading.Event()

    def write(number: int) -> None:
        for each in range(20):
            with parts.sessions.begin() as session:
                add_events(session, 3, first=1_000 * (number + 1) + 3 * each)

    def keep_sequencing() -> None:
        while not written.is_set():
            sequence_leaves(parts.sessions, wait=False)

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    sequencers = [guarded(keep_sequencing) for _ in range(2)]
    writers = [guarded(lambda number=number: write(number)) for number in range(3)]  # type: ignore[misc]
    for thread in writers:
        thread.join()
    written.set()
    for thread in sequencers:
        thread.join()
    assert failed == []
    sequence_leaves(parts.sessions)
    whole_log(parts, 181)


KILLED_IN_THE_FOURTH_BATCH = """
import os
from mailer.store.log import hold_log, sequence
from mailer.wiring import open_parts

parts = open_parts()
for batch in range(4):
    with parts.sessions.begin() as session:
        hold_log(session)
        sequence(session, after=0, most=512)
        if batch == 3:
            os.kill(os.getpid(), 9)
"""


class PowerCut(Exception):
    """What the tests raise in the middle of a transaction."""


@pytest.mark.parametrize("step", range(6))
def test_a_sequencer_that_dies_between_any_two_steps_has_done_nothing(
    parts: Parts, step: int
) -> None:
    with parts.sessions.begin() as session:
        add_events(session, 300)
    sequence_leaves(parts.sessions)
    with parts.sessions.begin() as session:
        add_events(session, 300, first=300)
    left = [step]

    def die(connection: object, cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("BEGIN", "SELECT")) or "LIMIT" in statement:
            left[0] -= 1
        if left[0] < 0:
            raise PowerCut

    event.listen(parts.engine, "after_cursor_execute", die)
    with pytest.raises(PowerCut):
        _sequence_and_die(parts)
    event.remove(parts.engine, "after_cursor_execute", die)
    with parts.sessions() as session:
        assert len(leaf_hashes(session)) == 300
        assert number_of(session, PendingLeaf) == 300
    assert sequence_leaves(parts.sessions) == 300
    whole_log(parts, 600)


def _sequence_and_die(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        hold_log(session)
        sequence(session, after=0, most=1_000)
        raise PowerCut  # behind the last step, before the commit


def test_a_killed_process_loses_nothing_and_doubles_nothing(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        add_events(session, 5_000)
    environment = clean_environment(
        MAILER_HOME=str(parts.settings.home),
        MAILER_DATABASE_URL=parts.engine.url.render_as_string(hide_password=False),
        **KEYS,
    )
    ended = subprocess.run([sys.executable, "-c", KILLED_IN_THE_FOURTH_BATCH], env=environment)
    assert ended.returncode == -9
    with parts.sessions() as session:
        assert len(leaf_hashes(session)) == 3 * 512
    sequence_leaves(parts.sessions)
    whole_log(parts, 5_000)


def test_who_finds_another_at_it_leaves_it_to_them(parts: Parts) -> None:
    if parts.engine.dialect.name == "sqlite":
        return  # whoever writes waits for the other's commit there
    with parts.sessions.begin() as session:
        add_events(session, 2)
    with parts.sessions.begin() as other:
        hold_log(other)
        assert sequence_leaves(parts.sessions, wait=False) == 0
        assert len(sequence(other, after=0, most=10)) == 2
    whole_log(parts, 2)


def test_a_log_that_was_cut_is_not_made_longer(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        add_events(session, 300)
    sequence_leaves(parts.sessions)
    with unguarded(parts) as session:
        session.execute(delete(LogEntry).where(LogEntry.leaf_index >= 200))
        add_events(session, 3, first=900)
    with pytest.raises(LogDamaged, match="ends after 200 leaves, and its tiles hold 256"):
        sequence_leaves(parts.sessions)
    sequence_in_turn(parts.sessions)  # which says so in the log, and goes on
    with parts.sessions() as session:
        assert log_size(session) == 200


def test_missing_hashes_are_named(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        add_events(session, 600)
    sequence_leaves(parts.sessions)
    with unguarded(parts) as session:
        session.execute(delete(LogTile).where(LogTile.number == 0))
    with (
        parts.sessions() as session,
        pytest.raises(LogDamaged, match=r"Tile 0 of level 1 .* hold 2 hashes and holds 1"),
    ):
        LogTree(session, 600).root()
    with unguarded(parts) as session:
        add_events(session, 1, first=600)
        newest = session.scalar(select(func.max(ConsentEvent.id)))
        session.execute(update(ConsentEvent).where(ConsentEvent.id == newest).values(leaf_hash=b""))
    with pytest.raises(LogDamaged, match=f"event {newest} has no leaf hash"):
        sequence_leaves(parts.sessions)
