"""The test vectors of consent proofs, made anew: the same bytes every time.

    python tests/proof_vectors.py    writes docs/reference/consent-proof/

Each is a proof file that holds or one that is broken in one place, with the step that must find it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailer.domain import merkle
from mailer.domain.checkpoints import Checkpoint, SigningKey
from mailer.domain.leaves import (
    Leaf,
    NoticeRef,
    canonical,
    commitment,
    commitment_key,
    hash_of_leaf,
)
from mailer.domain.notices import NoticePurpose, NoticeWording
from mailer.domain.proofs import EventProof, checksums, proof_document

FOLDER = Path(__file__).parents[1] / "docs" / "reference" / "consent-proof"
ORIGIN = "news.example.org/consent-log/0123456789abcdef"
OTHER_ORIGIN = "press.example.net/consent-log/fedcba9876543210"
SIGNER, STRANGER = SigningKey(b"the log key of the vectors"), SigningKey(b"a stranger's key")
KEY = SIGNER.public(ORIGIN).text
STRANGER_KEY = STRANGER.public(ORIGIN).text
READER_KEY = hashlib.sha256(b"the reader's key of the vectors").digest()

Document = dict[str, Any]


@dataclass(frozen=True)
class Vector:
    """A file, the public key that is given with it ("": none), and what must be found."""

    content: bytes
    public_key: str
    step: str  # "ok": the proof holds
    where: str = ""


WORDINGS = [
    NoticeWording(
        newsletter="weekly",
        version=version,
        locale=locale,
        text=text,
        purposes=(NoticePurpose("updates", label, "editorial"),),
        controller={"name": "Example Press", "address": "1 Long Street, Kassa", "contact": "a@b.c"},
        links={"privacy": "https://news.example.org/privacy", "terms": ""},
    )
    for version, locale, label, text in (
        (1, "en", "Updates", 'We write to you every week.\nLeave at any time: "one click".\t\\'),
        (2, "ar", "تحديثات", "نكتب إليك كل أسبوع، ويمكنك المغادرة في أي وقت. 🗞️\u2028\u007f"),
    )
]


def events() -> list[tuple[Leaf, dict[str, str]]]:
    """Return what one reader said: asked for, given, and withdrawn."""
    said = [
        ("requested", "form", WORDINGS[0], {"ip": "192.0.2.7", "user_agent": "Mozilla/5.0"}),
        ("given", "confirm", WORDINGS[1], {"ip": "2001:db8::7", "page_url": "https://n.test/?a=é"}),
        ("withdrawn", "one-click", None, {}),
    ]
    made = []
    for number, (state, method, wording, more) in enumerate(said):
        event_id = f"{number + 1:032x}"
        personal = {
            "address": "amina@readers.example", "ip": "", "page_url": "", "user_agent": "",
            "source": "", "confirmation_message_id": "", **more,
        }  # fmt: skip
        leaf = Leaf(
            event_id=event_id,
            at=datetime(2026, 11, 24, 9, number, 0, 123_000, tzinfo=UTC),
            newsletter="weekly",
            purpose="updates",
            reader=7,
            state=state,
            method=method,
            basis="consent",
            notice=wording
            and NoticeRef(wording.sha256, wording.version, wording.locale, number == 0),
            commitment=commitment(commitment_key(READER_KEY, event_id), personal),
            stated_at=datetime(2020, 2, 29, tzinfo=UTC) if number == 1 else None,
        )
        made.append((leaf, personal))
    return made


def proof(size: int, places: dict[int, int], *, disclosed: bool = True) -> Document:
    """Return a proof of events (number → index) in a log of this size."""
    said = events()
    hashes = [hash_of_leaf(f"leaf {index}".encode()) for index in range(size)]
    for number, index in places.items():
        hashes[index] = said[number][0].hash
    note = SIGNER.sign(Checkpoint(ORIGIN, size, merkle.root_of(hashes)))

    def read(height: int, number: int) -> bytes:
        return merkle.root_of(hashes[number << height : (number + 1) << height])

    proofs = [
        EventProof(
            said[number][0].document(),
            index,
            merkle.inclusion_path(index, size, read),
            commitment_key(READER_KEY, said[number][0].event_id) if disclosed else None,
            said[number][1] if disclosed else None,
        )
        for number, index in places.items()
    ]
    wordings = {
        wording.sha256: json.loads(wording.canonical()) for wording in WORDINGS[: len(places)]
    }
    return proof_document(note, SIGNER.public(ORIGIN), proofs, wordings)


def dated(at: str) -> bytes:
    """Return a proof that somebody signed with the time of its only event set to this."""
    made = proof(1, {0: 0})
    made["events"][0]["leaf"]["at"] = at
    return _bytes(_signed_again(made))


def _version_true() -> bytes:
    """Return a proof whose wording has a version that Python takes for 1, and others do not."""
    made = proof(1, {0: 0})
    wording = {**json.loads(WORDINGS[0].canonical()), "version": True}
    sha256 = hashlib.sha256(canonical(wording)).hexdigest()
    made["notices"] = {sha256: wording}
    made["events"][0]["leaf"]["notice"]["sha256"] = sha256
    return _bytes(_signed_again(made))


def _signed_again(document: Document) -> Document:
    """Return a proof of one event, signed over what the event says now."""
    [event] = document["events"]
    event["checksums"] = checksums(event)
    root = hash_of_leaf(canonical(event["leaf"]))
    document["checkpoint"] = SIGNER.sign(Checkpoint(ORIGIN, 1, root))
    return document


WHOLE = proof(1_000, {0: 0, 1: 300, 2: 999})


def vectors() -> dict[str, Vector]:
    """Return all vectors by name."""
    found = {
        "whole": Vector(_bytes(WHOLE), KEY, "ok"),
        "whole-own-key": Vector(_bytes(WHOLE), "", "ok"),
        "log-of-one": Vector(_bytes(proof(1, {0: 0})), KEY, "ok"),
        "log-of-257": Vector(_bytes(proof(257, {0: 255, 1: 256})), KEY, "ok"),
        "not-disclosed": Vector(_bytes(proof(9, {0: 5}, disclosed=False)), KEY, "ok"),
        "byte-order-mark": Vector(b"\xef\xbb\xbf" + _bytes(WHOLE), KEY, "ok"),
        "compact": Vector(json.dumps(WHOLE).encode(), KEY, "ok"),
        "rotated-keys": Vector(_bytes(WHOLE), f"{STRANGER.public(ORIGIN).text}\n{KEY}", "ok"),
        "cosigned": _mutated(_cosign, "ok"),
    }
    return found | _no_json() | _misshapen() | _foreign() | _changed() | _forged()


def _no_json() -> dict[str, Vector]:
    whole = _bytes(WHOLE)
    contents = {
        "empty": b"",
        "no-json": b"This is no proof.",
        "list": b"[]",
        "breaks-off": whole[:-20],
        "two-documents": whole + b"{}",
        "latin-1": whole.replace("é".encode(), b"\xe9"),
        "name-twice": whole.replace(b'"index": 0,', b'"index": 0, "index": 0,', 1),
        "fraction": whole.replace(b'"reader": 7,', b'"reader": 7.0,', 1),
        "exponent": whole.replace(b'"reader": 7,', b'"reader": 7e0,', 1),
        "not-a-number": whole.replace(b'"reader": 7,', b'"reader": NaN,', 1),
        "hostile-number": whole.replace(b'"reader": 7,', b'"reader": ' + b"9" * 5_000 + b",", 1),
        "beyond-53-bits": whole.replace(b'"reader": 7,', b'"reader": 9007199254740993,', 1),
        "half-a-character": whole.replace(b'"form"', b'"\\ud800"', 1),
        "bare-line-end": whole.replace(b'"form"', b'"fo\nrm"', 1),
        "bad-escape": whole.replace(b'"form"', b'"\\x41"', 1),
        "comma-at-the-end": whole.replace(b'"notices"', b',"notices"', 1),
        "nested-deeply": whole.replace(b'"terms": ""', b'"terms": ' + b"[" * 16 + b"]" * 16, 1),
        "nested-very-deeply": b"[" * 100_000,
        "name-outside-ascii": whole.replace(b'"terms"', '"térms"'.encode(), 1),
    }
    return {name: Vector(content, KEY, "json") for name, content in contents.items()}


def _misshapen() -> dict[str, Vector]:
    first = ("events", 0)
    too_many = ["00" * 32] * 65
    return {
        "other-format": _mutated(_set("other", "format"), "format", "format"),
        "later-version": _mutated(_set(2, "version"), "format", "format"),
        "version-true": _mutated(_set(True, "version"), "format", "format"),
        "no-events": _mutated(_set([], "events"), "member", "events"),
        "events-object": _mutated(_set({}, "events"), "member", "events"),
        "no-checkpoint": _mutated(_drop("checkpoint"), "member", "checkpoint"),
        "stranger": _mutated(_set("x", "verdict"), "member", "verdict"),
        "no-state": _mutated(_drop(*first, "leaf", "state"), "member", "events[0].leaf.state"),
        "stranger-in-leaf": _mutated(
            _set("x", *first, "leaf", "address"), "member", "events[0].leaf.address"
        ),
        "leaf-version-2": _mutated(_set(2, *first, "leaf", "v"), "member", "events[0].leaf.v"),
        "leaf-list": _mutated(_set([], *first, "leaf"), "member", "events[0].leaf"),
        "negative-index": _mutated(_set(-1, *first, "index"), "member", "events[0].index"),
        "index-true": _mutated(_set(True, *first, "index"), "member", "events[0].index"),
        "index-text": _mutated(_set("0", *first, "index"), "member", "events[0].index"),
        "time-without-zone": _mutated(
            _set("2026-11-24T09:00:00.123", *first, "leaf", "at"), "member", "events[0].leaf.at"
        ),
        "time-in-other-digits": _mutated(
            _set("٢٠٢٦-11-24T09:00:00.123Z", *first, "leaf", "at"), "member", "events[0].leaf.at"
        ),
        "upper-case-hash": _mutated(
            _set("AB" * 32, *first, "path", 3), "member", "events[0].path[3]"
        ),
        "hostile-path": _mutated(_set(too_many, *first, "path"), "member", "events[0].path"),
        "personal-without-key": _mutated(
            _set(None, *first, "commitment_key"), "member", "events[0].commitment_key"
        ),
        "personal-number": _mutated(
            _set(7, *first, "personal", "ip"), "member", "events[0].personal.ip"
        ),
        "no-checksum": _mutated(
            _drop(*first, "checksums", "leaf.at"), "changed", "events[0].leaf.at"
        ),
        "no-wording": _mutated(
            _drop("notices", WORDINGS[0].sha256), "member", f"notices.{WORDINGS[0].sha256}"
        ),
        "unasked-wording": _mutated(_add_wording, "member", f"notices.{_UNASKED}"),
        "wording-without-text": _mutated(
            _drop("notices", WORDINGS[0].sha256, "text"),
            "member", f"notices.{WORDINGS[0].sha256}.text",
        ),
    }  # fmt: skip


def _foreign() -> dict[str, Vector]:
    elsewhere = SIGNER.sign(Checkpoint(OTHER_ORIGIN, 1_000, bytes(32)))
    note: str = WHOLE["checkpoint"]
    return {
        "other-installation": _mutated(_set(elsewhere, "checkpoint"), "origin", "checkpoint"),
        "other-installation-own-key": _mutated(
            _set(elsewhere, "checkpoint"), "origin", "checkpoint", key=""
        ),
        "key-of-other-installation": Vector(
            _bytes(WHOLE), SIGNER.public(OTHER_ORIGIN).text, "origin", "checkpoint"
        ),
        "other-key": Vector(_bytes(WHOLE), STRANGER.public(ORIGIN).text, "key", "checkpoint"),
        "forged-with-own-key": _mutated(_forge_everything, "key", "checkpoint"),
        "names-other-key": _mutated(
            _set(STRANGER.public(ORIGIN).text, "public_key"), "public_key", "public_key"
        ),
        "key-changed": _mutated(
            _set(_other_last_octet(KEY, "+"), "public_key"), "public_key", "public_key"
        ),
        "key-with-a-line-end": _mutated(_set(f"{KEY}\n", "public_key"), "public_key", "public_key"),
        "key-without-id": _mutated(_set("x", "public_key"), "public_key", "public_key"),
        "size-changed": _signed(note.replace("\n1000\n", "\n1001\n"), "signature"),
        "root-changed": _signed(_other_root(note), "signature"),
        "signature-changed": _signed(_other_last_octet(note[:-1], " ") + "\n", "signature"),
        "hostile-size": _signed(note.replace("\n1000\n", f"\n{'9' * 400}\n"), "checkpoint"),
        "size-with-zero": _signed(note.replace("\n1000\n", "\n01000\n"), "checkpoint"),
        "size-beyond-53-bits": _signed(
            note.replace("\n1000\n", "\n9007199254740993\n"), "checkpoint"
        ),
        "no-signature": _signed(note.partition("\n\n")[0] + "\n", "checkpoint"),
        "hyphens-for-a-dash": _signed(note.replace("—", "--"), "checkpoint"),
        "root-not-base64": _signed(note.replace("=\n\n", "*\n\n"), "checkpoint"),
        "short-root": _signed(
            f"{ORIGIN}\n1000\nAAAA\n\n{note.partition(chr(10) * 2)[2]}", "checkpoint"
        ),
        "extension-line": _signed(note.replace("\n\n", "\nmore\n\n"), "checkpoint"),
    }


def _changed() -> dict[str, Vector]:
    """Changed by somebody who knows nothing of checksums: the member is named."""
    changes: dict[str, tuple[object, ...]] = {
        "leaf.state": ("withdrawn", "leaf", "state"),
        "leaf.at": ("2026-11-24T09:01:00.124Z", "leaf", "at"),
        "leaf.purpose": ("partner-promotions", "leaf", "purpose"),
        "leaf.notice": (None, "leaf", "notice"),
        "leaf.valid_until": ("2030-01-01T00:00:00.000Z", "leaf", "valid_until"),
        "leaf.commitment": ("00" * 32, "leaf", "commitment"),
        "personal.address": ("bola@readers.example", "personal", "address"),
        "personal.ip": ("2001:db8::8", "personal", "ip"),
        "commitment_key": ("00" * 32, "commitment_key"),
        "index": (301, "index"),
        "path": ("00" * 32, "path", 4),
    }
    return {
        f"changed-{name.replace('.', '-').replace('_', '-')}": _mutated(
            _set(value, "events", 1, *place), "changed", f"events[1].{name}"
        )
        for name, (value, *place) in changes.items()
    }


def _forged() -> dict[str, Vector]:
    """Changed by somebody who mends the checksums: then what was signed does not fit."""

    def forged(step: str, where: str, value: object, *place: str | int) -> Vector:
        def mutate(document: Document) -> None:
            _set(value, "events", 1, *place)(document)
            for event in document["events"]:
                event["checksums"] = checksums(event)

        return _mutated(mutate, step, where)

    path = WHOLE["events"][1]["path"]
    text = ("notices", WORDINGS[1].sha256, "text")
    return {
        "forged-state": forged("inclusion", "events[1]", "withdrawn", "leaf", "state"),
        "forged-reader": forged("inclusion", "events[1]", 8, "leaf", "reader"),
        "forged-time": forged("inclusion", "events[1]", "2026-11-24T09:00:00.123Z", "leaf", "at"),
        "forged-notice": forged("inclusion", "events[1]", None, "leaf", "notice"),
        "forged-index": forged("inclusion", "events[1]", 301, "index"),
        "index-beyond-the-log": forged("index", "events[1].index", 1_000, "index"),
        "hostile-index": forged("index", "events[1].index", 2**53 - 1, "index"),
        "path-changed": forged("inclusion", "events[1]", "00" * 32, "path", 4),
        "path-cut": forged("inclusion", "events[1].path", path[:-1], "path"),
        "path-longer": forged("inclusion", "events[1].path", [*path, path[0]], "path"),
        "no-path": forged("inclusion", "events[1].path", [], "path"),
        "forged-address": forged(
            "commitment", "events[1].personal", "bola@readers.example", "personal", "address"
        ),
        "forged-commitment-key": forged(
            "commitment", "events[1].personal", "00" * 32, "commitment_key"
        ),
        "personal-of-another-event": forged(
            "commitment", "events[1].personal", WHOLE["events"][0]["personal"], "personal"
        ),
        "forged-wording": _mutated(
            _set("We may write whatever we like.", *text), "notice", f"notices.{text[1]}"
        ),
        "wording-of-other-version": forged(
            "notice", "events[1].leaf.notice.version", 3, "leaf", "notice", "version"
        ),
        "wording-of-version-true": Vector(
            _version_true(), KEY, "notice", "events[0].leaf.notice.version"
        ),
        "wording-of-other-locale": forged(
            "notice", "events[1].leaf.notice.locale", "fr", "leaf", "notice", "locale"
        ),
    }


def _mutated(
    mutate: Callable[[Document], None], step: str, where: str = "", *, key: str = KEY
) -> Vector:
    document = deepcopy(WHOLE)
    mutate(document)
    return Vector(_bytes(document), key, step, where)


def _signed(note: str, step: str) -> Vector:
    return _mutated(_set(note, "checkpoint"), step, "checkpoint")


def _set(value: object, *place: str | int) -> Callable[[Document], None]:
    def mutate(document: Document) -> None:
        inner: Any = document
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value

    return mutate


def _drop(*place: str | int) -> Callable[[Document], None]:
    def mutate(document: Document) -> None:
        inner: Any = document
        for step in place[:-1]:
            inner = inner[step]
        del inner[place[-1]]

    return mutate


_UNASKED_WORDING = {"text": "Nobody was asked this."}
_UNASKED = hashlib.sha256(canonical(_UNASKED_WORDING)).hexdigest()


def _add_wording(document: Document) -> None:
    document["notices"][_UNASKED] = _UNASKED_WORDING


def _cosign(document: Document) -> None:
    document["checkpoint"] += f"— witness.example {base64.b64encode(bytes(76)).decode()}\n"


def _forge_everything(document: Document) -> None:
    """A proof that holds in itself, under a key that a stranger made."""
    body = document["checkpoint"].partition("\n\n")[0].split("\n")
    checkpoint = Checkpoint(body[0], int(body[1]), base64.b64decode(body[2]))
    document["checkpoint"] = STRANGER.sign(checkpoint)
    document["public_key"] = STRANGER.public(ORIGIN).text


def _other_root(note: str) -> str:
    body, separator, signatures = note.partition("\n\n")
    return _other_last_octet(body, "\n") + separator + signatures


def _other_last_octet(text: str, before: str) -> str:
    """Return the text with another last octet in what stands in base64 behind `before`."""
    head, _, encoded = text.rpartition(before)
    raw = base64.b64decode(encoded)
    return f"{head}{before}{base64.b64encode(raw[:-1] + bytes([raw[-1] ^ 1])).decode()}"


def _bytes(document: Document) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def files() -> dict[str, bytes]:
    """Return every file of the folder by name: the vectors, and the list of them."""
    made = vectors()
    listed = [
        {"file": f"{name}.json", "public_key": each.public_key, "step": each.step,
         "where": each.where}
        for name, each in made.items()
    ]  # fmt: skip
    listing = (json.dumps(listed, indent=1) + "\n").encode()
    return {"vectors.json": listing} | {f"{name}.json": each.content for name, each in made.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for name, content in files().items():
        (FOLDER / name).write_bytes(content)
