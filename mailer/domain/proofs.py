"""Consent proofs: one JSON document that shows, by itself, what a reader said.

`proof_document` writes one, `verify_proof` believes nothing in it that it has not computed again.
docs/reference/consent-proof.md describes every byte, for those who write a verifier of their own.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailer.domain import merkle
from mailer.domain.checkpoints import (
    BadCheckpoint,
    BadKey,
    Checkpoint,
    PublicKey,
    verify_checkpoint,
)
from mailer.domain.leaves import canonical, commitment, hash_of_leaf
from mailer.domain.proof_shape import BadProof, check_shape, read_json

FORMAT = "newsroom-mailer/consent-proof"
VERSION = 1


@dataclass(frozen=True, slots=True)
class EventProof:
    """What proves one event; the personal part is None where it is not disclosed."""

    leaf: Mapping[str, Any]
    index: int
    path: Sequence[bytes]
    commitment_key: bytes | None
    personal: Mapping[str, str] | None

    def document(self) -> dict[str, Any]:
        """Return it as the proof file holds it."""
        document = {
            "index": self.index,
            "leaf": dict(self.leaf),
            "path": [step.hex() for step in self.path],
            "commitment_key": self.commitment_key.hex() if self.commitment_key else None,
            "personal": dict(self.personal) if self.personal is not None else None,
        }
        return {**document, "checksums": checksums(document)}


@dataclass(frozen=True, slots=True)
class Proved:
    """What a proof file has shown.

    `own_key`: the checkpoint was verified with the key that stands in the file itself.
    """

    checkpoint: Checkpoint
    key: PublicKey
    own_key: bool
    events: Sequence[Mapping[str, Any]]
    notices: Mapping[str, Mapping[str, Any]]


def proof_document(
    note: str,
    key: PublicKey,
    events: Sequence[EventProof],
    notices: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the proof file of these events; `notices` are the wordings by their hash."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "checkpoint": note,
        "public_key": key.text,
        "events": [event.document() for event in events],
        "notices": {sha256: dict(wording) for sha256, wording in notices.items()},
    }


def verify_proof(content: bytes, keys: Sequence[PublicKey] = ()) -> Proved:
    """Return what a proof file shows; raises BadProof, which names what is wrong with it.

    Without `keys` the key in the file is believed, and so whoever made the file.
    """
    document = read_json(content)
    version = document.get("version")
    if document.get("format") != FORMAT or version is True or version != VERSION:
        raise BadProof("format", "format", f"This is no {FORMAT} of version {VERSION}.")
    check_shape(document)
    checkpoint, key = _checkpoint(document, keys)
    for place, event in enumerate(document["events"]):
        _verify_event(event, f"events[{place}]", document["notices"], checkpoint)
    _refuse_unasked(document)
    return Proved(checkpoint, key, not keys, document["events"], document["notices"])


def checksums(event: Mapping[str, Any]) -> dict[str, str]:
    """Return short hashes of an event's members, so that a changed one can be named.

    They protect from nothing: whoever changes a member on purpose changes its checksum too, and
    then the hash, the commitment or the path is wrong.
    """
    members: dict[str, Any] = {}
    for name, value in event.items():
        if name in ("leaf", "personal") and value is not None:
            members |= {f"{name}.{inner}": each for inner, each in value.items()}
        elif name != "checksums":
            members[name] = value
    return {
        name: hashlib.sha256(canonical({name: value})).hexdigest()[:8]
        for name, value in members.items()
    }


def _checkpoint(
    document: Mapping[str, Any], keys: Sequence[PublicKey]
) -> tuple[Checkpoint, PublicKey]:
    try:
        own = PublicKey.parse(document["public_key"])
        checkpoint, key = verify_checkpoint(document["checkpoint"], keys or [own])
    except BadKey as bad:
        raise BadProof("public_key", "public_key", str(bad)) from None
    except BadCheckpoint as bad:
        raise BadProof(bad.step, "checkpoint", str(bad)) from None
    if own != key:
        raise BadProof(
            "public_key",
            "public_key",
            f"The file names another public key ({own.text}) than the one that signed the "
            f"checkpoint ({key.text}).",
        )
    return checkpoint, key


def _verify_event(
    event: Mapping[str, Any],
    where: str,
    notices: Mapping[str, Mapping[str, Any]],
    checkpoint: Checkpoint,
) -> None:
    _verify_checksums(event, where)
    leaf = event["leaf"]
    if leaf["notice"] is not None:
        _verify_notice(leaf["notice"], where, notices)
    if event["personal"] is not None:
        key = bytes.fromhex(event["commitment_key"])
        made = commitment(key, event["personal"])
        if not hmac.compare_digest(made, bytes.fromhex(leaf["commitment"])):
            raise BadProof(
                "commitment",
                f"{where}.personal",
                "The personal part is not the one that the leaf commits to.",
            )
    _verify_inclusion(event, where, checkpoint)


def _verify_checksums(event: Mapping[str, Any], where: str) -> None:
    stated, found = event["checksums"], checksums(event)
    for name in (*found, *stated):
        if stated.get(name) != found.get(name):
            raise BadProof("changed", f"{where}.{name}", f"{name} was changed.")


def _verify_notice(
    notice: Mapping[str, Any], where: str, notices: Mapping[str, Mapping[str, Any]]
) -> None:
    sha256 = notice["sha256"]
    wording = notices.get(sha256)
    if wording is None:
        raise BadProof("member", f"notices.{sha256}", f"The wording of {where} is missing.")
    if hashlib.sha256(canonical(wording)).hexdigest() != sha256:
        raise BadProof("notice", f"notices.{sha256}", "The wording was changed: its hash differs.")
    for name in ("version", "locale"):
        said = wording.get(name)
        if said is True or said != notice[name]:  # Python takes true for 1
            raise BadProof(
                "notice",
                f"{where}.leaf.notice.{name}",
                f"The leaf names another {name} than the wording does.",
            )


def _verify_inclusion(event: Mapping[str, Any], where: str, checkpoint: Checkpoint) -> None:
    index, size = event["index"], checkpoint.size
    if index >= size:
        raise BadProof(
            "index",
            f"{where}.index",
            f"The checkpoint covers {size} leaves, and this would be number {index}, counted from "
            "0.",
        )
    leaf_hash = hash_of_leaf(canonical(event["leaf"]))
    path = [bytes.fromhex(step) for step in event["path"]]
    root = merkle.root_from_path(leaf_hash, index, size, path)
    if root is None:
        raise BadProof(
            "inclusion", f"{where}.path", f"The path has a wrong length ({len(path)} steps)."
        )
    if root != checkpoint.root:
        raise BadProof(
            "inclusion",
            where,
            "Leaf, index and path do not lead to the root that was signed: this leaf is not in the "
            "log, or the path was changed.",
        )


def _refuse_unasked(document: Mapping[str, Any]) -> None:
    """Raise BadProof for a wording that no event was asked under: nothing would prove it."""
    asked = {event["leaf"]["notice"]["sha256"] for event in document["events"]
             if event["leaf"]["notice"]}  # fmt: skip
    for sha256 in document["notices"]:
        if sha256 not in asked:
            raise BadProof(
                "member", f"notices.{sha256}", "No event of this file was asked under this wording."
            )
