"""`mailer consent prove | verify | checkpoint`: what readers said, shown to those who doubt it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailer.cli.console import AsJson, Yes, answer, ask, example, print_json, say, shown
from mailer.cli.opening import open_installation
from mailer.domain.errors import Refusal

if TYPE_CHECKING:
    from mailer.domain.checkpoints import PublicKey
    from mailer.domain.proofs import Proved
    from mailer.services.consent.checkpoints import Signed
    from mailer.wiring import Parts

app = typer.Typer()

_LARGEST_KEY_FILE = 100_000


class CannotProve(Refusal):
    """A proof cannot be written, or a file cannot be read."""


@app.command(
    epilog=example(
        "mailer consent prove amina@example.org --out amina.json",
        "mailer consent prove amina@example.org --event 0193a1b2c3d470008000000000000001",
    )
)
def prove(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The reader's address or id.")],
    out: Annotated[Path | None, typer.Option(help="The file to write; else it is printed.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event, by its id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a file that proves what a reader said, to somebody who does not trust us.

    It holds the events with the wording and the evidence, their way to a signed root of the consent
    log, and nothing of anybody else. `mailer consent verify` and docs/verify.html check it.
    """
    from mailer.domain.checkpoints import read_checkpoint
    from mailer.services.consent.proving import Asked, prove

    if out is not None and out.exists():
        raise CannotProve(f"{out} exists already: choose another name.")
    parts = open_installation()
    asked = Asked(email, event, parts.suppression_key, parts.operator)
    document = prove(parts.sessions, parts.notary, asked, now=parts.now())
    if out is None:
        print_json(document)
        return
    _write_new(out, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    size = read_checkpoint(document["checkpoint"]).size
    events = len(document["events"])
    answer(
        as_json,
        {"file": out, "events": events, "size": size, "public_key": document["public_key"]},
        f"Wrote {out}: {events} {'event' if events == 1 else 'events'} of {email}, in a log of "
        f"{_leaves(size)}. Whoever gets it checks it with `mailer consent verify {out}` or with "
        f"docs/verify.html, and with this key: {document['public_key']}",
    )


@app.command(
    epilog=example(
        "mailer consent verify amina.json",
        "mailer consent verify amina.json --public-key news.example.org.key",
    )
)
def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A proof, or a checkpoint; - reads stdin.")
    ],
    public_key: Annotated[
        str | None,
        typer.Option(metavar="KEY|FILE", help="The log's public key, from the publisher."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a proof or a checkpoint, with nothing but the file: no installation, no network.

    Without --public-key the key in the proof itself is believed, and so whoever made the proof.
    """
    from mailer.domain.checkpoints import BadCheckpoint
    from mailer.domain.proof_shape import LARGEST_FILE, BadProof
    from mailer.domain.proofs import verify_proof

    content = _read(file, LARGEST_FILE + 1)
    keys = _public_keys(public_key) if public_key is not None else []
    try:
        if _is_checkpoint(content):
            _verify_checkpoint(content, keys, as_json)
        else:
            _say_proved(verify_proof(content, keys), as_json)
    except (BadProof, BadCheckpoint) as bad:
        if not as_json:
            raise
        where = bad.where if isinstance(bad, BadProof) else ""
        reason = bad.reason if isinstance(bad, BadProof) else str(bad)
        print_json({"valid": False, "step": bad.step, "where": where, "reason": reason})
        raise typer.Exit(1) from None


@app.command(
    epilog=example(
        "mailer consent checkpoint",
        "mailer consent checkpoint --public-key > log.key",
        "mailer consent checkpoint --email auditor@example.net",
    )
)
def checkpoint(
    public_key: Annotated[
        bool, typer.Option("--public-key", help="Only print what verifies them, newest key first.")
    ] = False,
    begin_anew: Annotated[
        bool,
        typer.Option("--begin-anew", help="Sign under a new name: part of the log is lost."),
    ] = False,
    email: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Mail it to somebody outside, too.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Sign how long the consent log is, and its root; it is done every day by itself, too.

    The checkpoint is kept in the database and in MAILER_WITNESS_DIR. Nothing is signed that
    contradicts an older one: docs/how-to/consent-log.md.
    """
    from mailer.services.consent import checkpoints
    from mailer.store.actions import note_action
    from mailer.store.engine import reading

    parts = open_installation()
    if public_key:
        with reading(parts.sessions) as session:
            names = checkpoints.log_names(session, parts.notary)
        keys = [key.text for name in names for key in parts.notary.public_keys(name)]
        answer(as_json, {"origin": names[0], "public_keys": keys}, "\n".join(keys))
        return
    if begin_anew:
        ask("The log goes on under another name, for everybody to see.", yes=yes)
        signed = checkpoints.begin_anew(parts.sessions, parts.notary, now=parts.now())
        with parts.sessions.begin() as session:
            note_action(
                session,
                parts.operator,
                "consent checkpoint",
                now=parts.now(),
                details={"began_anew": signed.checkpoint.origin, "size": signed.checkpoint.size},
            )
    else:
        signed = checkpoints.sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    if email is not None:
        _mail(parts, signed, email)
    made = signed.checkpoint
    document = {
        "origin": made.origin,
        "size": made.size,
        "root": made.root.hex(),
        "note": signed.note,
        "public_key": signed.key.text,
        "folder": parts.notary.folder.path,
    }
    answer(as_json, document, signed.note.removesuffix("\n"))
    if not as_json:
        say(f"Kept in {parts.notary.folder.path}: keep a copy where nobody can change it.")


def _mail(parts: Parts, signed: Signed, email: str) -> None:
    from mailer.cli.watching import say_if_nobody_works
    from mailer.domain.addresses import parse_address
    from mailer.services.consent.checkpoint_mail import mail_checkpoint

    address = parse_address(email)
    with parts.sessions.begin() as session:
        mail_checkpoint(
            session,
            signed,
            address,
            renderer=parts.renderer,
            suppression_key=parts.suppression_key,
            now=parts.now(),
        )
    parts.doorbell.ring_send()
    say_if_nobody_works(parts)
    say(f"The checkpoint is on its way to {address}.")


def _write_new(path: Path, content: str) -> None:
    """Write a file that only its owner may read, for it holds an address; refuses to overwrite."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        raise CannotProve(
            f"Cannot write {path} ({error.strerror}): choose another place."
        ) from None


def _read(path: Path, most: int) -> bytes:
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(most)
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise CannotProve(f"Cannot read {path} ({error.strerror}): check the path.") from None


def _public_keys(key_or_file: str) -> list[PublicKey]:
    """Return the keys in a text or in a file, one a line."""
    from mailer.domain.checkpoints import PublicKey

    text = key_or_file
    if "+" not in text or Path(text).is_file():
        text = _read(Path(text), _LARGEST_KEY_FILE).decode("utf-8", "replace")
    keys = [PublicKey.parse(line.strip()) for line in text.splitlines() if line.strip()]
    if not keys:
        raise CannotProve(f"{key_or_file} holds no public key: ask the publisher for it.")
    return keys


def _is_checkpoint(content: bytes) -> bool:
    return "\n— ".encode() in content and not content.lstrip().startswith(b"{")


def _verify_checkpoint(content: bytes, keys: list[PublicKey], as_json: bool) -> None:
    from mailer.domain.checkpoints import verify_checkpoint

    if not keys:
        raise CannotProve(
            "A checkpoint does not hold its key: add --public-key, which the publisher prints with "
            "`mailer consent checkpoint --public-key`."
        )
    # It may have been saved from a mail, with other line ends; what is signed has these.
    note = "\n".join(content.decode("utf-8-sig", "replace").strip().splitlines()) + "\n"
    checkpoint, key = verify_checkpoint(note, keys)
    document = {
        "valid": True, "origin": checkpoint.origin, "size": checkpoint.size,
        "root": checkpoint.root.hex(), "public_key": key.text,
    }  # fmt: skip
    sentence = f"Signed: the consent log {checkpoint.origin} held {_leaves(checkpoint.size)}."
    answer(as_json, document, sentence)


def _say_proved(proved: Proved, as_json: bool) -> None:
    checkpoint = proved.checkpoint
    events = [_event(event, proved.notices) for event in proved.events]
    if as_json:
        document = {
            "valid": True, "origin": checkpoint.origin, "size": checkpoint.size,
            "public_key": proved.key.text, "key_from_file": proved.own_key, "events": events,
        }  # fmt: skip
        print_json(document)
        return
    lines = [
        f"Proved: {'this is' if len(events) == 1 else 'these are'} in the consent log "
        f"{checkpoint.origin}, which held {_leaves(checkpoint.size)} when it was signed."
    ]
    for event in events:
        lines.append(
            f"\n{event['at']}  {shown(event['state'])}: {shown(event['newsletter'])}/"
            f"{shown(event['purpose'])} ({shown(event['method'])}), leaf {event['index']}"
        )
        lines += [
            f"  {name.replace('_', ' ')}: {shown(value)}"
            for name, value in (event["personal"] or {"personal part": "not disclosed"}).items()
            if value
        ]
        if event["notice"]:
            lines.append(f"  told: {shown(event['notice']['text'])}")
    typer.echo("\n".join(lines))
    if proved.own_key:
        say(
            "The public key in the file itself was believed. To rule out a forged file, compare it "
            f"with the publisher's, or give that one with --public-key: {proved.key.text}"
        )


def _leaves(number: int) -> str:
    return f"{number} {'leaf' if number == 1 else 'leaves'}"


def _event(event: Any, notices: Any) -> dict[str, Any]:
    leaf = event["leaf"]
    wording = notices[leaf["notice"]["sha256"]] if leaf["notice"] else None
    return {**leaf, "index": event["index"], "personal": event["personal"], "notice": wording}
