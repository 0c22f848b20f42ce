"""The audit of the log: places, tiles and checkpoints, each computed again."""

import audits as a
import pytest
from log_rows import add_events, leaf_hashes
from sqlalchemy import func, select

from mailer.domain.merkle import TILE_WIDTH, root_of
from mailer.services.audit import Finding, Kind
from mailer.services.audit.checkpoints import Checkpoints
from mailer.services.audit.tree import TreeWalk
from mailer.services.consent.checkpoints import begin_anew, sign_checkpoint
from mailer.services.consent.log import sequence_leaves
from mailer.store.auditing import snapshot
from mailer.store.auditing_log import read_extent
from mailer.store.models import ConsentEvent, LogCheckpoint, LogEntry, LogTile
from mailer.wiring import Parts

TWO_TILES = 2 * TILE_WIDTH


def _grow(parts: Parts, number: int, *, first: int = 0) -> None:
    with parts.sessions.begin() as session:
        add_events(session, number, first=first)
    sequence_leaves(parts.sessions)


def _look(parts: Parts) -> list[Finding]:
    """Audit the log alone: the events of these tests are nobody's."""
    checkpoints = Checkpoints(parts.notary)
    with snapshot(parts.sessions) as session:
        extent = read_extent(session)
    found = list(checkpoints.findings(extent.checkpoints))
    sizes = [each.size for each in checkpoints.signed]
    walk = TreeWalk(parts.sessions, extent, sizes, lambda what, number: None)
    found += walk.findings()
    found += checkpoints.compare(walk.roots, walk.length)
    found += checkpoints.lost(extent.checkpoints)
    return [each for each in found if not each.kind.is_note]


def _rows(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(each.table, each.row) for each in findings]


def test_every_changed_column_of_every_tile_is_named(parts: Parts) -> None:
    _grow(parts, TWO_TILES + 3)
    assert _look(parts) == []
    assert list(a.unnoticed_changes(parts, "consent_tile", look=_look)) == []
    assert list(a.unnoticed_losses(parts, "consent_tile", look=_look)) == []
    assert _look(parts) == []


def test_the_walk_comes_to_the_root_of_every_length(parts: Parts) -> None:
    _grow(parts, TWO_TILES + 3)
    with parts.sessions() as session:
        hashes = leaf_hashes(session)
    with snapshot(parts.sessions) as session:
        extent = read_extent(session)
    walk = TreeWalk(parts.sessions, extent, range(len(hashes) + 1), lambda what, number: None)
    assert list(walk.findings()) == []
    assert walk.length == len(hashes)
    assert all(walk.roots[size] == root_of(hashes[:size]) for size in range(len(hashes) + 1))


def test_one_changed_leaf_is_one_finding(parts: Parts) -> None:
    _grow(parts, TWO_TILES + 3)
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    with a.hand_in(parts) as hand:
        hand.update("consent_event", "leaf_hash", bytes(32), {"id": 100})
    assert _rows(_look(parts)) == [("consent_log", "99")]


def test_two_events_that_change_their_places_are_named(parts: Parts) -> None:
    _grow(parts, TWO_TILES + 3)
    with a.hand_in(parts) as hand:
        for place, event in ((5, 9_999), (300, 6), (5, 301)):
            hand.update("consent_log", "event", event, {"leaf_index": place})
    assert _rows(_look(parts)) == [("consent_log", "5"), ("consent_log", "300")]


def test_who_rewrites_a_leaf_and_its_tile_contradicts_what_was_signed(parts: Parts) -> None:
    _grow(parts, 100)
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    _grow(parts, TWO_TILES, first=100)
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    with parts.sessions() as session:
        hashes = leaf_hashes(session)[:TILE_WIDTH]
    hashes[150] = bytes(32)
    with a.hand_in(parts) as hand:
        hand.update("consent_event", "leaf_hash", bytes(32), {"id": 151})
        tile = {"level": 0, "number": 0}
        hand.update("consent_tile", "hashes", b"".join(hashes), tile)
        hand.update("consent_tile", "root", root_of(hashes), tile)
    found = _look(parts)
    assert {each.kind for each in found} == {Kind.CHECKPOINT}
    assert [table for table, _ in _rows(found)] == ["consent_checkpoint", "witness", "witness"]
    assert ("witness", "1/000000000612") in _rows(found)
    assert all("something from place 100 on was changed" in each.words for each in found)


def test_a_log_that_was_cut_is_shorter_than_what_was_signed(parts: Parts) -> None:
    _grow(parts, TWO_TILES)
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    with a.hand_in(parts) as hand:
        for place in (TWO_TILES - 1, TWO_TILES - 2):
            hand.delete("consent_log", {"leaf_index": place})
    found = _rows(_look(parts))
    assert ("consent_tile", "0/1") in found
    assert ("witness", "1/000000000512") in found


def test_a_log_that_was_begun_anew_holds_under_its_new_name(parts: Parts) -> None:
    for first in (0, 25):
        _grow(parts, 25, first=first)
        sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    with a.hand_in(parts) as hand:
        hand.delete("consent_log", {"leaf_index": 49})
    assert _look(parts) != []
    begin_anew(parts.sessions, parts.notary, now=parts.now())
    assert _look(parts) == []
    notes = [each for each in a.audit(parts).findings() if each.kind is Kind.BEGUN_ANEW]
    with parts.sessions() as session:
        newest = session.scalar(select(func.max(LogCheckpoint.id)))
    assert _rows(notes) == [("consent_checkpoint", str(newest))]


def test_a_checkpoint_of_another_installation_is_named(parts: Parts) -> None:
    _grow(parts, 5)
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    newest = parts.notary.folder.path / "latest"
    note = newest.read_text("utf-8")
    newest.write_text(note.replace(parts.notary.installation, "0123456789abcdef"), "utf-8")
    (finding,) = _look(parts)
    assert finding.row == "latest"
    assert "of another installation" in finding.words


def test_what_lies_in_the_folder_and_is_no_checkpoint_is_named(parts: Parts) -> None:
    _grow(parts, 5)
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    (parts.notary.folder.path / "notes.txt").write_bytes(b"\xff\xfe nothing of ours")
    assert _rows(_look(parts)) == [("witness", "notes.txt")]


@pytest.fixture
def three_levels(sqlite_parts: Parts) -> Parts:
    """A log that is long enough for a tile of tiles."""
    _grow(sqlite_parts, TILE_WIDTH * TILE_WIDTH + 1)
    return sqlite_parts


def test_a_tile_of_tiles_is_looked_at_too(three_levels: Parts) -> None:
    parts = three_levels
    with parts.sessions() as session:
        assert session.get(LogTile, (1, 0))
        events = session.scalars(
            select(ConsentEvent.leaf_hash)
            .join(LogEntry, LogEntry.event == ConsentEvent.id)
            .where(LogEntry.leaf_index.between(7 * TILE_WIDTH, 8 * TILE_WIDTH - 1))
            .order_by(LogEntry.leaf_index)
        )
        hashes = [bytes(32), *list(events)[1:]]
    assert _look(parts) == []
    with a.hand_in(parts) as hand:
        tile = {"level": 0, "number": 7}
        hand.update("consent_tile", "hashes", b"".join(hashes), tile)
        hand.update("consent_tile", "root", root_of(hashes), tile)
        hand.update("consent_event", "leaf_hash", bytes(32), {"id": 7 * TILE_WIDTH + 1})
        assert _rows(_look(parts)) == [("consent_tile", "0/7")]
        hand.update("consent_tile", "root", bytes(32), {"level": 1, "number": 0})
        assert _rows(_look(parts)) == [("consent_tile", "1/0")]


def test_what_a_signer_who_died_left_in_the_folder_is_put_in_by_the_next_one(parts: Parts) -> None:
    _grow(parts, 5)
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    with a.hand_in(parts) as hand:
        hand.delete("consent_checkpoint", {"size": 5})
    assert _rows(_look(parts)) == [("witness", "1/000000000005")]
    _grow(parts, 5, first=5)
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    assert _look(parts) == []
