"""Checkpoints: the bytes that C2SP wants, and what is not believed."""

from __future__ import annotations

import base64

import pytest

from mailer.domain.checkpoints import (
    BadCheckpoint,
    BadKey,
    Checkpoint,
    PublicKey,
    SigningKey,
    read_checkpoint,
    verify_checkpoint,
)

ORIGIN = "news.example.org/consent-log/0123456789abcdef"
CHECKPOINT = Checkpoint(ORIGIN, 1234, bytes(range(32)))
KEY = SigningKey(b"log-key-of-the-tests-0123456789abcdefgh")
NOTE = KEY.sign(CHECKPOINT)

# The example in the documentation of Go's golang.org/x/mod/sumdb/note.
PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def step_of(note: str, *keys: PublicKey) -> str:
    with pytest.raises(BadCheckpoint) as refused:
        verify_checkpoint(note, keys or [KEY.public(ORIGIN)])
    return refused.value.step


def test_a_published_key_is_read_and_written_alike() -> None:
    key = PublicKey.parse(PUBLISHED_KEY)
    assert (key.name, key.id.hex(), key.text) == ("PeterNeumann", "c74f20a3", PUBLISHED_KEY)


def test_a_checkpoint_is_three_lines_an_empty_one_and_a_signature() -> None:
    assert NOTE.startswith(
        f"{ORIGIN}\n1234\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n— {ORIGIN} "
    )
    encoded = NOTE.removesuffix("\n").rpartition(" ")[2]
    raw = base64.b64decode(encoded)
    assert raw[:4] == KEY.public(ORIGIN).id
    assert len(raw) == 68
    assert verify_checkpoint(NOTE, [KEY.public(ORIGIN)]) == (CHECKPOINT, KEY.public(ORIGIN))
    assert KEY.sign(CHECKPOINT) == NOTE  # Ed25519 signs alike every time


def test_any_of_the_keys_may_have_signed_and_others_may_have_signed_too() -> None:
    other = SigningKey(b"another").public(ORIGIN)
    assert verify_checkpoint(NOTE, [other, KEY.public(ORIGIN)])[1] == KEY.public(ORIGIN)
    cosigned = f"{NOTE}— witness.example {base64.b64encode(bytes(76)).decode()}\n"
    assert verify_checkpoint(cosigned, [KEY.public(ORIGIN)])[0] == CHECKPOINT


def test_what_is_wrong_with_a_checkpoint_is_named() -> None:
    assert step_of(NOTE.replace("\n1234\n", "\n1235\n")) == "signature"
    assert step_of(NOTE.replace("AAEC", "BAEC")) == "signature"
    assert step_of(NOTE, SigningKey(b"another").public(ORIGIN)) == "key"
    elsewhere = KEY.sign(Checkpoint("other.example/consent-log/00", 1, bytes(32)))
    assert step_of(elsewhere) == "origin"


@pytest.mark.parametrize(
    "note",
    [
        "",
        "no checkpoint",
        NOTE.replace("\n1234\n", "\n01234\n"),
        NOTE.replace("\n1234\n", "\n-1\n"),
        NOTE.replace("\n1234\n", "\n١٢\n"),
        NOTE.replace("\n1234\n", f"\n{10**16}\n"),
        NOTE.replace("\n1234\n", f"\n{'9' * 5000}\n"),
        NOTE.replace("Hh8=", "Hh8"),
        NOTE.replace("Hh8=", "Hh9="),
        NOTE.replace("AAEC", "AA\u00a0C"),
        NOTE.replace("\n\n", "\nextension\n\n"),
        NOTE.replace("—", "--"),
        NOTE.removesuffix("\n"),
        NOTE + "\n",
        NOTE.replace(ORIGIN, "two words"),
        NOTE.replace(ORIGIN, ""),
    ],
)
def test_what_is_no_checkpoint_is_said_to_be_none(note: str) -> None:
    assert step_of(note) == "checkpoint"
    with pytest.raises(BadCheckpoint):
        read_checkpoint(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "two words+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        PUBLISHED_KEY.replace("c74f20a3", "c74f20a4"),
        PUBLISHED_KEY.replace("ARpc", "ARpd"),
        PUBLISHED_KEY.replace("ARpc", "Ahpc"),
        PUBLISHED_KEY[:-4],
        PUBLISHED_KEY + "+",
    ],
)
def test_what_is_no_public_key_is_said_to_be_none(text: str) -> None:
    with pytest.raises(BadKey):
        PublicKey.parse(text)
