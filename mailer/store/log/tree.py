"""The tree over the log: full tiles where there are some, rows for the rest."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain import merkle
from mailer.domain.errors import Refusal
from mailer.store.models import ConsentEvent, LogEntry, LogTile


class LogDamaged(Refusal):
    """The log is not what it was."""


class LogTree:
    """Roots and proofs of the log as it was when this was made.

    A log that grows meanwhile does no harm. Raises LogDamaged where hashes are missing.
    """

    def __init__(self, session: Session, size: int) -> None:
        self.size = size
        self._session = session
        self._read = merkle.from_tiles(self._tile)
        self._tiles: dict[tuple[int, int], Sequence[bytes]] = {}

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves, or over all of them."""
        return merkle.root(self.size if size is None else size, self._read)

    def inclusion_path(self, index: int, size: int) -> list[bytes]:
        """Return what proves that a leaf is among the first `size`."""
        return merkle.inclusion_path(index, size, self._read)

    def consistency_path(self, old: int, new: int) -> list[bytes]:
        """Return what proves that the log of `new` leaves begins with that of `old`."""
        return merkle.consistency_path(old, new, self._read)

    def _tile(self, level: int, number: int) -> Sequence[bytes]:
        found = self._tiles.get((level, number))
        if found is None:
            found = self._tiles[level, number] = self._look_up(level, number)
        return found

    def _look_up(self, level: int, number: int) -> Sequence[bytes]:
        whole = self.size >> merkle.TILE_HEIGHT * level
        expected = min(merkle.TILE_WIDTH, whole - number * merkle.TILE_WIDTH)
        first = number * merkle.TILE_WIDTH
        if expected == merkle.TILE_WIDTH:
            hashes = _stored_tile(self._session, level, number)
        else:
            hashes = hashes_below(self._session, level, first, first + expected)
        if len(hashes) != expected:
            raise LogDamaged(
                f"Tile {number} of level {level} of the consent log should hold {expected} hashes "
                f"and holds {len(hashes)}: the log was changed. `mailer consent audit` says where."
            )
        return hashes


def _stored_tile(session: Session, level: int, number: int) -> list[bytes]:
    """Return the hashes of a full tile; none where it is missing."""
    content = session.scalar(
        select(LogTile.hashes).where(LogTile.level == level, LogTile.number == number)
    )
    if content is None:
        return []
    size = merkle.HASH_SIZE
    return [content[place : place + size] for place in range(0, len(content), size)]


def hashes_below(session: Session, level: int, first: int, end: int) -> list[bytes]:
    """Return the hashes from number `first` up to `end` that a tile of this level is made of."""
    statement = (
        select(ConsentEvent.leaf_hash)
        .join(LogEntry, LogEntry.event == ConsentEvent.id)
        .where(LogEntry.leaf_index >= first, LogEntry.leaf_index < end)
        .order_by(LogEntry.leaf_index)
        if level == 0
        else select(LogTile.root)
        .where(LogTile.level == level - 1, LogTile.number >= first, LogTile.number < end)
        .order_by(LogTile.number)
    )
    return list(session.scalars(statement))
