"""Consent proofs: the published vectors, and every single byte of one that holds."""

from __future__ import annotations

import json

import proof_vectors as published
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.checkpoints import PublicKey
from mailer.domain.proof_shape import LARGEST_FILE, BadProof
from mailer.domain.proofs import verify_proof

VECTORS = published.vectors()
WHOLE = VECTORS["whole"].content
KEY = PublicKey.parse(published.KEY)


def test_the_published_vectors_are_those_that_are_made_here() -> None:
    stored = {path.name: path.read_bytes() for path in published.FOLDER.iterdir()}
    assert stored == published.files(), "run `python tests/proof_vectors.py`"


@pytest.mark.parametrize("name", VECTORS)
def test_every_vector_is_believed_or_refused_at_its_step(name: str) -> None:
    vector = VECTORS[name]
    keys = [PublicKey.parse(line) for line in vector.public_key.splitlines()]
    if vector.step == "ok":
        assert verify_proof(vector.content, keys).own_key == (not keys)
        return
    with pytest.raises(BadProof) as refused:
        verify_proof(vector.content, keys)
    assert (refused.value.step, refused.value.where) == (vector.step, vector.where)
    assert str(refused.value).endswith(".")


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed(place: int, difference: int) -> None:
    changed = bytearray(WHOLE)
    changed[place] ^= difference
    try:
        proved = verify_proof(bytes(changed), [KEY])
    except BadProof:
        return
    # Only what JSON itself does not care about: a space for a line end, say.
    assert json.loads(changed) == json.loads(WHOLE)
    assert proved.checkpoint.size == 1_000


def test_a_file_that_is_too_large_is_not_even_read() -> None:
    with pytest.raises(BadProof, match="larger than 64 MB"):
        verify_proof(b" " * (LARGEST_FILE + 1))
