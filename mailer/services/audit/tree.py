"""The log's places, tiles and roots, each computed again from the events' leaf hashes.

Where a row is not what its tile says and the tile agrees with itself, the tile is believed, and the
row is named; so one changed row is one finding, and not one for everything above it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from mailer.domain.merkle import HASH_SIZE, TILE_WIDTH, from_tiles, root, root_of
from mailer.services.audit.findings import Finding, Kind
from mailer.services.audit.order import PlacesInOrder
from mailer.store.auditing import snapshot
from mailer.store.auditing_log import Extent, LeafRow, TileRow, read_leaves, read_tiles
from mailer.store.engine import Sessions

Count = Callable[[str, int], None]

_TILES_A_PAGE = 64
_LEAVES_A_PAGE = _TILES_A_PAGE * TILE_WIDTH
_UNKNOWN = bytes(HASH_SIZE)
_LONGEST_GAP = 10_000_000


class TreeWalk:
    """Goes along the log once; `roots` then has the root of every length that was asked for."""

    def __init__(
        self, sessions: Sessions, extent: Extent, sizes: Iterable[int], count: Count
    ) -> None:
        self._sessions = sessions
        self._extent = extent
        self._wanted = frozenset(sizes)
        self._count = count
        self._rows: list[list[bytes]] = []  # on each level, the roots of its full tiles
        self._bottom: Sequence[bytes] = ()  # the leaves above which there is no full tile yet
        self._tiles: dict[int, TileRow] = {}  # of leaves, as they are stored
        self._tiles_end = 0
        self._expected: set[tuple[int, int]] = set()
        self.roots: dict[int, bytes] = {}
        self.length = 0
        """How many places the log has."""

    def findings(self) -> Iterator[Finding]:
        """Yield the places, and the tiles, that do not hold."""
        self._keep_root(0)
        begun: list[LeafRow | None] = []
        number = 0
        for item in self._places():
            if isinstance(item, Finding):
                yield item
                continue
            begun.append(item)
            if len(begun) == TILE_WIDTH:
                yield from self._full(number, begun)
                begun, number = [], number + 1
        self._bottom = [_hash_of(each) or _UNKNOWN for each in begun]
        self._keep_roots(number * TILE_WIDTH, len(begun))
        yield from self._surplus()

    def _places(self) -> Iterator[LeafRow | Finding | None]:
        """Yield every place in order, None where it is missing, and what is to be said of it."""
        expected, times = 0, PlacesInOrder()
        for row in self._pages():
            index = row.leaf_index
            if index < 0 or index - expected > _LONGEST_GAP:
                yield _of_log(index, f"No log can have this place; it names event {row.event}.")
                continue
            if index > expected:
                yield _of_log(expected, f"Missing: the next place that is there is {index}.")
                yield from (None for _ in range(expected, index))
            if row.leaf_hash is None:
                yield _of_log(index, f"It names event {row.event}, which is not there.")
            yield from times.take(row)
            yield row
            self.length = expected = index + 1
        yield from times.rest()

    def _pages(self) -> Iterator[LeafRow]:
        if self._extent.last_leaf is None:
            return
        after: int | None = None
        while True:
            with snapshot(self._sessions) as session:
                page = read_leaves(session, after, self._extent.last_leaf, _LEAVES_A_PAGE)
            self._count("leaves", len(page))
            yield from page
            if len(page) < _LEAVES_A_PAGE:
                return
            after = page[-1].leaf_index

    def _full(self, number: int, leaves: Sequence[LeafRow | None]) -> Iterator[Finding]:
        """Compare a full tile of leaves, and the tiles above that it completes."""
        stored = self._stored(number)
        hashes = [_hash_of(each) for each in leaves]
        believed = yield from self._tile(0, number, stored, hashes)
        first = number * TILE_WIDTH
        for place, (row, is_, says) in enumerate(zip(leaves, hashes, believed, strict=True)):
            if row is not None and row.leaf_hash is not None and is_ != says:
                yield _of_log(
                    first + place,
                    f"Its event {row.event} has another leaf hash than the tile 0/{number}: the "
                    "event was changed, or another one was put in its place.",
                )
        self._bottom = believed
        self._keep_roots(first, TILE_WIDTH - 1)
        yield from self._complete(0, number, root_of(believed))
        self._bottom = ()
        self._keep_root(first + TILE_WIDTH)

    def _complete(self, level: int, number: int, found: bytes) -> Iterator[Finding]:
        """Note a full tile's root; with the 256th, compare the tile that they make."""
        if len(self._rows) == level:
            self._rows.append([])
        row = self._rows[level]
        row.append(found)
        if len(row) % TILE_WIDTH:
            return
        above = number // TILE_WIDTH
        with snapshot(self._sessions) as session:
            stored = read_tiles(session, level + 1, above, above + 1).get(above)
        hashes = row[-TILE_WIDTH:]
        believed = yield from self._tile(level + 1, above, stored, hashes)
        for place, (is_, says) in enumerate(zip(hashes, believed, strict=True)):
            if is_ != says:
                below = number - TILE_WIDTH + 1 + place
                yield _of_tile(
                    level, below, f"Tile {level + 1}/{above} has another root for it: it was "
                    "changed, together with what stands below it.",
                )  # fmt: skip
        row[-TILE_WIDTH:] = believed
        yield from self._complete(level + 1, above, root_of(believed))

    def _tile(
        self, level: int, number: int, stored: TileRow | None, hashes: Sequence[bytes | None]
    ) -> Generator[Finding, None, list[bytes]]:
        """Yield what is wrong with the tile itself; return the hashes that are to be believed."""
        self._count("tiles", 1)
        self._expected.add((level, number))
        known = [each or _UNKNOWN for each in hashes]
        if stored is None:
            yield _of_tile(level, number, "Missing.")
            return known
        kept = _split(stored.hashes)
        if kept is None or root_of(kept) != stored.root:
            yield _of_tile(
                level, number, "Its hashes do not come to its root: one of them was changed."
            )
            return known
        return kept

    def _stored(self, number: int) -> TileRow | None:
        if number >= self._tiles_end:
            self._tiles_end = number + _TILES_A_PAGE
            with snapshot(self._sessions) as session:
                self._tiles = read_tiles(session, 0, number, self._tiles_end)
        return self._tiles.pop(number, None)

    def _surplus(self) -> Iterator[Finding]:
        for level, number in sorted(self._extent.tiles - self._expected):
            yield _of_tile(
                level, number, "It covers places that the log does not have: the log was cut, or "
                "the tile was put in.",
            )  # fmt: skip

    def _keep_roots(self, before: int, most: int) -> None:
        """Keep the roots of the lengths that end within the bottom's first leaves."""
        for size in range(before + 1, before + most + 1):
            self._keep_root(size)

    def _keep_root(self, size: int) -> None:
        if size in self._wanted:
            self.roots[size] = root(size, from_tiles(self._read))

    def _read(self, level: int, number: int) -> Sequence[bytes]:
        if level == 0:
            return self._bottom
        return self._rows[level - 1][number * TILE_WIDTH : (number + 1) * TILE_WIDTH]


def _hash_of(row: LeafRow | None) -> bytes | None:
    """Return the leaf's hash; None where there is none, or something else stands there."""
    found = row.leaf_hash if row is not None else None
    return found if isinstance(found, bytes) and len(found) == HASH_SIZE else None


def _split(hashes: bytes) -> list[bytes] | None:
    """Return the hashes of a tile; None where they are not as many as belong there."""
    if not isinstance(hashes, bytes) or len(hashes) != TILE_WIDTH * HASH_SIZE:
        return None
    return [hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)]


def _of_log(place: int, words: str) -> Finding:
    return Finding(Kind.LOG, "consent_log", str(place), words)


def _of_tile(level: int, number: int, words: str) -> Finding:
    return Finding(Kind.TILE, "consent_tile", f"{level}/{number}", words)
