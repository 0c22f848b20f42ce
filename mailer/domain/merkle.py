"""The Merkle tree of the consent log: RFC 9162 §2.1, and tiles of 256 hashes (C2SP tlog-tiles).

Whoever asks for a root or a proof gives a way to read the hash of a complete subtree: `read(height,
number)` is the root over the leaves from `number << height` on, `1 << height` of them. A log of a
million leaves needs twenty of those, and never its leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

_NODE_PREFIX = b"\x01"  # RFC 9162 §2.1.1
HASH_SIZE = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a log without leaves."""

ReadSubtree = Callable[[int, int], bytes]
"""Returns the root of a complete subtree, given its height and number."""

ReadTile = Callable[[int, int], Sequence[bytes]]
"""Returns as many hashes of a tile as there are, given its level and number."""


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash above two others."""
    return hashlib.sha256(_NODE_PREFIX + left + right).digest()


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Return the root over these leaf hashes, all of them at hand."""
    row = list(hashes)
    if not row:
        return EMPTY_ROOT
    while len(row) > 1:
        pairs = [node(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        row = pairs + row[len(pairs) * 2 :]
    return row[0]


def root(size: int, read: ReadSubtree) -> bytes:
    """Return the root over the first `size` leaves."""
    return _over(0, size, read) if size else EMPTY_ROOT


def inclusion_path(index: int, size: int, read: ReadSubtree) -> list[bytes]:
    """Return what proves that a leaf is among the first `size` (§2.1.3.1), from below."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a log of {size}")
    path = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_over(middle, high, read))
            high = middle
        else:
            path.append(_over(low, middle, read))
            low = middle
    return path[::-1]


def root_from_path(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that an inclusion path leads to (§2.1.3.2); None if it has a wrong length."""
    if not 0 <= index < size:
        return None
    position, last, found = index, size - 1, leaf_hash
    for sibling in path:
        if last == 0:
            return None
        if position & 1 or position == last:
            found = node(sibling, found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node(found, sibling)
        position, last = position >> 1, last >> 1
    return found if last == 0 else None


def includes(
    root_hash: bytes, leaf_hash: bytes, index: int, size: int, path: Sequence[bytes]
) -> bool:
    """Say whether the path proves that this leaf has this index in the log with this root."""
    return root_from_path(leaf_hash, index, size, path) == root_hash


def consistency_path(old: int, new: int, read: ReadSubtree) -> list[bytes]:
    """Return what proves that the first `old` of `new` leaves are still the same (§2.1.4.1)."""
    if not 0 < old <= new:
        raise ValueError(f"a log of {old} cannot have grown to {new}")
    path = []
    low, high = 0, new
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_over(middle, high, read))
            high = middle
        else:
            path.append(_over(low, middle, read))
            low = middle
    if low:
        path.append(_over(low, high, read))
    return path[::-1]


def extends(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Say whether the path proves that the newer log begins with the older one (§2.1.4.2)."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not hashes:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node(sibling, first), node(sibling, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node(second, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def from_tiles(tile: ReadTile) -> ReadSubtree:
    """Return a reader of subtrees that looks them up in tiles; the last tile of a level is short.

    On level 0 a tile holds hashes of leaves; on level n it holds the roots of level n - 1.
    """

    def read(height: int, number: int) -> bytes:
        level, inside = divmod(height, TILE_HEIGHT)
        tile_number, first = divmod(number << inside, TILE_WIDTH)
        return root_of(tile(level, tile_number)[first : first + (1 << inside)])

    return read


def completed_tiles(old: int, new: int) -> Iterator[tuple[int, int]]:
    """Yield level and number of every tile that gets full as the log grows, the lowest first."""
    level = 0
    while new := new >> TILE_HEIGHT:
        old >>= TILE_HEIGHT
        yield from ((level, number) for number in range(old, new))
        level += 1


def _split(width: int) -> int:
    """Return the largest power of two that is smaller."""
    return 1 << (width - 1).bit_length() - 1


def _over(low: int, high: int, read: ReadSubtree) -> bytes:
    """Return the hash over the leaves from `low` up to `high`, as the tree of §2.1.1 has it."""
    width = high - low
    if width & (width - 1) == 0:
        height = width.bit_length() - 1
        return read(height, low >> height)
    middle = low + _split(width)
    return node(_over(low, middle, read), _over(middle, high, read))
