"""The Merkle tree: against the definition in RFC 9162, written down naively, and known vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.domain import merkle
from mailer.domain.leaves import hash_of_leaf

# The leaves and roots that the implementations of Certificate Transparency share (RFC 6962).
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
sizes = st.integers(1, 70) | st.integers(1, 1200)


def leaves(count: int) -> list[bytes]:
    return [hash_of_leaf(str(number).encode()) for number in range(count)]


def naive_root(hashes: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash as §2.1.1 defines it."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    left, right = naive_root(hashes[:split]), naive_root(hashes[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def subtrees(hashes: Sequence[bytes]) -> merkle.ReadSubtree:
    return lambda height, number: naive_root(hashes[number << height : (number + 1) << height])


def tiles(hashes: Sequence[bytes]) -> merkle.ReadSubtree:
    """Return a reader over tiles that were written one by one as the log grew by odd steps."""
    written: dict[tuple[int, int], list[bytes]] = {}
    size = 0
    while size < len(hashes):
        before, size = size, min(size + 300, len(hashes))
        for level, number in merkle.completed_tiles(before, size):
            below = range(number * 256, (number + 1) * 256)
            written[level, number] = (
                [hashes[index] for index in below]
                if level == 0
                else [merkle.root_of(written[level - 1, index]) for index in below]
            )

    def tile(level: int, number: int) -> list[bytes]:
        if (level, number) in written:
            return written[level, number]
        if level == 0:
            return list(hashes[number * 256 : (number + 1) * 256])
        below = ((level - 1, index) for index in range(number * 256, (number + 1) * 256))
        return [merkle.root_of(written[key]) for key in below if key in written]

    return merkle.from_tiles(tile)


def test_published_roots_are_found() -> None:
    hashes = [hash_of_leaf(content) for content in INPUTS]
    for size, expected in enumerate(ROOTS, 1):
        assert merkle.root_of(hashes[:size]).hex() == expected
        assert merkle.root(size, subtrees(hashes)).hex() == expected
    assert merkle.root(0, subtrees([])) == merkle.root_of([]) == merkle.EMPTY_ROOT
    assert merkle.EMPTY_ROOT.hex().startswith("e3b0c44298fc1c14")


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_published_inclusion_paths_are_found(index: int, size: int) -> None:
    hashes = [hash_of_leaf(content) for content in INPUTS]
    path = merkle.inclusion_path(index, size, subtrees(hashes))
    assert [step.hex() for step in path] == PATHS[index, size]
    assert merkle.includes(bytes.fromhex(ROOTS[size - 1]), hashes[index], index, size, path)


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_published_consistency_paths_are_found(old: int, new: int) -> None:
    hashes = [hash_of_leaf(content) for content in INPUTS]
    path = merkle.consistency_path(old, new, subtrees(hashes))
    assert [step.hex() for step in path] == CONSISTENCY[old, new]
    roots = bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1])
    assert merkle.extends(old, roots[0], new, roots[1], path)


@given(sizes)
def test_every_way_to_the_root_is_the_same(size: int) -> None:
    hashes = leaves(size)
    expected = naive_root(hashes)
    assert merkle.root_of(hashes) == expected
    assert merkle.root(size, tiles(hashes)) == expected


@given(sizes, st.data())
def test_a_leaf_is_proved_where_it_is_and_nowhere_else(size: int, data: st.DataObject) -> None:
    hashes = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_path(index, size, tiles(hashes))
    assert path == merkle.inclusion_path(index, size, subtrees(hashes))
    root = naive_root(hashes)
    assert merkle.includes(root, hashes[index], index, size, path)
    elsewhere = data.draw(st.integers(0, size))
    if elsewhere != index:
        assert not merkle.includes(root, hashes[index], elsewhere, size, path)
    assert not merkle.includes(root, hash_of_leaf(b"other"), index, size, path)
    assert not merkle.includes(root, hashes[index], index, size, [*path, root])
    if path:
        assert not merkle.includes(root, hashes[index], index, size, path[:-1])
        broken = data.draw(st.integers(0, len(path) - 1))
        path[broken] = bytes(32)
        assert not merkle.includes(root, hashes[index], index, size, path)


@given(sizes, st.data())
def test_a_log_that_grew_is_told_from_one_that_was_rewritten(
    size: int, data: st.DataObject
) -> None:
    hashes = leaves(size)
    old = data.draw(st.integers(1, size))
    path = merkle.consistency_path(old, size, tiles(hashes))
    assert path == merkle.consistency_path(old, size, subtrees(hashes))
    roots = naive_root(hashes[:old]), naive_root(hashes)
    assert merkle.extends(old, roots[0], size, roots[1], path)
    changed = list(hashes)
    changed[data.draw(st.integers(0, old - 1))] = hash_of_leaf(b"other")
    rewritten = merkle.consistency_path(old, size, subtrees(changed))
    assert not merkle.extends(old, roots[0], size, naive_root(changed), rewritten)
    assert not merkle.extends(old, roots[0], size, roots[1], [*path, roots[1]])


@settings(max_examples=30)
@given(st.integers(0, 200_000), st.integers(0, 70_000))
def test_tiles_get_full_once_and_in_order(old: int, more: int) -> None:
    new = old + more
    full = list(merkle.completed_tiles(old, new))
    before = list(merkle.completed_tiles(0, old))
    assert not set(full) & set(before)
    assert set(full) | set(before) == set(merkle.completed_tiles(0, new))
    assert full == sorted(full)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (5, -1)])
def test_what_is_not_in_the_log_cannot_be_proved(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_path(index, size, subtrees(leaves(3)))
    assert merkle.root_from_path(bytes(32), index, size, []) is None


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3), (-1, 2)])
def test_a_log_does_not_grow_backwards(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="cannot have grown"):
        merkle.consistency_path(old, new, subtrees(leaves(3)))
    assert not merkle.extends(old, bytes(32), new, bytes(32), [])
