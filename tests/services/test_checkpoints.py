"""Signing the log: what is signed, where it is kept, and when nothing is signed."""

from __future__ import annotations

import resource
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import building as b
import pytest
from log_rows import add_events, leaf_hashes
from sqlalchemy import delete, func, select, update
from tampering import unguarded

from mailer.domain import merkle
from mailer.domain.checkpoints import Checkpoint, SigningKey, verify_checkpoint
from mailer.services.consent.checkpoint_mail import CannotMail, mail_checkpoint
from mailer.services.consent.checkpoints import (
    ForeignCheckpoint,
    LogContradicted,
    NothingSigned,
    Signed,
    begin_anew,
    not_signed,
    sign_checkpoint,
    sign_daily,
)
from mailer.services.consent.log import sequence_leaves
from mailer.store.halting import Halted
from mailer.store.log import CannotWitness, CheckpointFolder
from mailer.store.models import ConsentEvent, Installation, LogCheckpoint, LogEntry
from mailer.store.suppressions import suppress
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts


def grow(parts: Parts, number: int) -> None:
    with parts.sessions.begin() as session:
        add_events(session, number, first=session.scalar(select(func.count(ConsentEvent.id))) or 0)


def sign(parts: Parts) -> Signed:
    return sign_checkpoint(parts.sessions, parts.notary, now=b.NOW)


def folder(parts: Parts) -> Path:
    return parts.settings.witness_dir / "checkpoints"


def sizes(parts: Parts) -> list[int]:
    with parts.sessions() as session:
        return list(session.scalars(select(LogCheckpoint.size).order_by(LogCheckpoint.id)))


def test_a_checkpoint_covers_all_that_was_committed_and_is_kept_in_two_places(parts: Parts) -> None:
    grow(parts, 300)
    signed = sign(parts)
    origin = f"127.0.0.1:8000/consent-log/{parts.notary.installation}"
    with parts.sessions() as session:
        root = merkle.root_of(leaf_hashes(session))
        row = session.scalars(select(LogCheckpoint)).one()
    assert signed.checkpoint == Checkpoint(origin, 300, root)
    assert verify_checkpoint(signed.note, parts.notary.public_keys(origin))[0] == signed.checkpoint
    assert (row.size, row.note, row.origin) == (300, signed.note, origin)
    for name in ("1/000000000300", "latest"):
        assert (folder(parts) / name).read_text("utf-8") == signed.note
        assert (folder(parts) / name).stat().st_mode & 0o777 == 0o600
    for made in (parts.settings.witness_dir, folder(parts), folder(parts) / "1"):
        assert made.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in folder(parts).rglob(".*")] == []


def test_a_log_that_has_not_grown_is_not_signed_again(parts: Parts) -> None:
    grow(parts, 3)
    first = sign(parts)
    assert sign(parts) == first
    grow(parts, 1)
    assert sign(parts).checkpoint.size == 4
    assert sizes(parts) == [3, 4]
    assert (folder(parts) / "latest").read_text("utf-8").splitlines()[1] == "4"


def test_an_empty_log_can_be_signed(sqlite_parts: Parts) -> None:
    assert sign(sqlite_parts).checkpoint.root == merkle.EMPTY_ROOT


def test_the_log_is_signed_once_a_day_if_it_has_grown(parts: Parts) -> None:
    def on_day(day: int) -> list[int]:
        sign_daily(parts.sessions, parts.notary, now=lambda: b.NOW + timedelta(days=day))
        return sizes(parts)

    assert on_day(0) == []
    grow(parts, 2)
    assert on_day(0) == [2]
    grow(parts, 2)
    assert on_day(0) == [2]
    assert on_day(1) == [2, 4]
    assert on_day(2) == [2, 4]


def test_a_clock_that_was_ahead_does_not_keep_the_log_unsigned(sqlite_parts: Parts) -> None:
    grow(sqlite_parts, 2)
    sign_checkpoint(sqlite_parts.sessions, sqlite_parts.notary, now=b.NOW + timedelta(days=900))
    grow(sqlite_parts, 2)
    sign_daily(sqlite_parts.sessions, sqlite_parts.notary, now=lambda: b.NOW)
    assert sizes(sqlite_parts) == [2, 4]


def test_where_nothing_is_signed_any_more_doctor_can_say_so(parts: Parts) -> None:
    def said(days: int) -> str | None:
        with parts.sessions() as session:
            return not_signed(session, parts.notary, now=b.NOW + timedelta(days=days))

    assert said(900) is None  # nobody has said anything
    grow(parts, 10)
    sign(parts)
    assert said(900) is None
    grow(parts, 1)
    sequence_leaves(parts.sessions)
    assert said(1) is None
    words = f"No checkpoint covers what readers have said since {b.NOW:%Y-%m-%d %H:%M} UTC"
    assert words in str(said(2))
    with unguarded(parts) as session:
        session.execute(delete(LogEntry).where(LogEntry.leaf_index >= 8))
    assert "has 8 leaves" in str(said(1))


def test_where_the_last_rows_are_gone_nothing_is_signed(parts: Parts) -> None:
    grow(parts, 10)
    sign(parts)
    with unguarded(parts) as session:
        session.execute(delete(LogEntry).where(LogEntry.leaf_index >= 8))
    with pytest.raises(LogContradicted, match="has 8 leaves, and the checkpoint in the database"):
        sign(parts)
    with unguarded(parts) as session:  # the database forgets; the folder does not
        session.execute(delete(LogCheckpoint))
    with pytest.raises(LogContradicted, match=r"in .*1/000000000010 was signed over 10"):
        sign(parts)
    (folder(parts) / "1/000000000010").unlink()
    with pytest.raises(LogContradicted, match=r"in .*latest was signed over 10"):
        sign(parts)
    sign_daily(parts.sessions, parts.notary, now=lambda: b.NOW)  # which says so in the log alone
    assert sizes(parts) == []


@pytest.mark.parametrize("index", [0, 299])
def test_where_a_leaf_under_the_checkpoint_was_changed_nothing_is_signed(
    parts: Parts, index: int
) -> None:
    grow(parts, 300)
    sign(parts)
    with unguarded(parts) as session:
        flipped = session.scalar(
            select(ConsentEvent.id)
            .join(LogEntry, LogEntry.event == ConsentEvent.id)
            .where(LogEntry.leaf_index == index)
        )
        known = select(ConsentEvent.leaf_hash).where(ConsentEvent.id == flipped)
        leaf_hash = session.scalars(known).one()
        changed = bytes([leaf_hash[0] ^ 1]) + leaf_hash[1:]
        session.execute(
            update(ConsentEvent).where(ConsentEvent.id == flipped).values(leaf_hash=changed)
        )
    grow(parts, 5)
    if index < 256:  # its tile is full, and still holds the true hash: `audit` compares both
        assert sign(parts).checkpoint.size == 305
        return
    with pytest.raises(LogContradicted, match=r"first 300 leaves .* rewritten"):
        sign(parts)


def test_rows_that_were_cut_and_grew_again_are_no_longer_the_log_that_was_signed(
    parts: Parts,
) -> None:
    grow(parts, 10)
    sign(parts)
    with unguarded(parts) as session:
        session.execute(delete(LogEntry).where(LogEntry.leaf_index >= 8))
    grow(parts, 5)
    with pytest.raises(LogContradicted, match=r"first 10 leaves .* cut and made longer"):
        sign(parts)


def test_a_log_is_begun_anew_under_another_name_when_somebody_says_so(parts: Parts) -> None:
    grow(parts, 10)
    old = sign(parts)
    with pytest.raises(NothingSigned, match="nothing to begin anew"):
        begin_anew(parts.sessions, parts.notary, now=b.NOW)
    with unguarded(parts) as session:
        session.execute(delete(LogEntry).where(LogEntry.leaf_index >= 8))
    anew = begin_anew(parts.sessions, parts.notary, now=b.NOW)
    assert anew.checkpoint.size == 8
    assert anew.checkpoint.origin == f"{old.checkpoint.origin}.2"
    assert (folder(parts) / "2/000000000008").exists()
    assert (folder(parts) / "1/000000000010").exists()
    grow(parts, 2)
    again = sign(parts)
    assert again.checkpoint.size == 10
    assert again.checkpoint.origin == anew.checkpoint.origin
    with unguarded(parts) as session:  # a second loss is found as the first was
        session.execute(delete(LogEntry).where(LogEntry.leaf_index >= 9))
    with pytest.raises(LogContradicted, match="has 9 leaves"):
        sign(parts)
    assert begin_anew(parts.sessions, parts.notary, now=b.NOW).checkpoint.origin.endswith(".3")


def test_a_checkpoint_of_another_installation_is_named(sqlite_parts: Parts) -> None:
    parts = sqlite_parts
    grow(parts, 3)
    stranger = replace(parts.notary, suppression_key=b"of another installation", host="other.test")
    theirs = stranger.keys[0].sign(Checkpoint(stranger.origin(), 9, bytes(32)))
    parts.notary.folder.keep(1, 9, theirs)
    with pytest.raises(ForeignCheckpoint, match=f"its origin is {stranger.origin()}, and ours is"):
        sign(parts)
    assert sizes(parts) == []


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("nonsense", "cannot be read"),
        ("", "cannot be read"),
        (b"\xff\xfe".decode("latin-1"), "cannot be read"),
        ("SIGNED BY ANOTHER KEY", "signed by another key .* MAILER_LOG_KEY was rotated"),
        ("CHANGED", "was changed: its signature"),
    ],
)
def test_a_forged_or_damaged_checkpoint_is_not_believed(
    sqlite_parts: Parts, note: str, words: str
) -> None:
    parts = sqlite_parts
    grow(parts, 3)
    signed = sign(parts)
    if note == "CHANGED":
        note = signed.note.replace("\n3\n", "\n2\n")
    elif note.startswith("SIGNED"):
        note = SigningKey(b"forger").sign(signed.checkpoint)
    (folder(parts) / "latest").write_text(note, "latin-1" if "\xff" in note else "utf-8")
    with pytest.raises(ForeignCheckpoint, match=rf"latest is not believed.*{words}"):
        sign(parts)


def test_what_only_the_folder_knows_is_taken_over(parts: Parts) -> None:
    grow(parts, 3)
    signed = sign(parts)
    with unguarded(parts) as session:  # the power went between folder and commit
        session.execute(delete(LogCheckpoint))
    assert sign(parts) == signed
    assert sizes(parts) == [3]
    (folder(parts) / "latest").unlink()
    (folder(parts) / "1/000000000003").unlink()
    assert sign(parts) == signed
    assert (folder(parts) / "latest").exists()


def test_where_the_folder_cannot_be_written_nothing_is_signed(sqlite_parts: Parts) -> None:
    grow(sqlite_parts, 3)
    sequence_leaves(sqlite_parts.sessions)
    blocked = sqlite_parts.settings.witness_dir
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file where the folder should be")
    with pytest.raises(CannotWitness, match="MAILER_WITNESS_DIR"):
        sign(sqlite_parts)
    assert sizes(sqlite_parts) == []


def test_a_checkpoint_that_cannot_be_written_leaves_no_piece_behind(tmp_path: Path) -> None:
    kept = CheckpointFolder(tmp_path / "checkpoints")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))  # as on a disk that is full
    try:
        with pytest.raises(CannotWitness, match="cannot be written"):
            kept.keep(1, 3, "more than ten octets")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_a_rotated_key_signs_and_the_older_one_is_still_believed(sqlite_parts: Parts) -> None:
    parts = sqlite_parts
    grow(parts, 3)
    old = sign(parts)
    both = [SigningKey(b"a newer key"), *parts.notary.keys]
    rotated = replace(parts.notary, keys=both)
    assert sign_checkpoint(parts.sessions, rotated, now=b.NOW) == old
    grow(parts, 1)
    signed = sign_checkpoint(parts.sessions, rotated, now=b.NOW)
    assert signed.key == both[0].public(old.checkpoint.origin)
    assert signed.key != old.key
    grow(parts, 1)
    without = replace(parts.notary, keys=[SigningKey(b"a third one")])
    with pytest.raises(ForeignCheckpoint, match="MAILER_LOG_KEY was rotated"):
        sign_checkpoint(parts.sessions, without, now=b.NOW)


def test_the_name_of_the_log_stays_when_the_host_changes(sqlite_parts: Parts) -> None:
    grow(sqlite_parts, 3)
    before = sign(sqlite_parts).checkpoint.origin
    moved = replace(sqlite_parts.notary, host="news.example.org")
    grow(sqlite_parts, 1)
    assert sign_checkpoint(sqlite_parts.sessions, moved, now=b.NOW).checkpoint.origin == before


def test_while_everything_is_halted_nothing_is_signed(sqlite_parts: Parts) -> None:
    with sqlite_parts.sessions.begin() as session:
        session.get_one(Installation, 1).halted = "an old backup was restored."
    with pytest.raises(Halted, match="an old backup was restored"):
        sign(sqlite_parts)


def test_a_checkpoint_goes_to_somebody_outside_word_for_word(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.newsletter(session)
    grow(parts, 3)
    signed = sign(parts)
    auditor = b.parse_address("auditor@outside.test")
    how = {"renderer": parts.renderer, "suppression_key": parts.suppression_key, "now": parts.now()}
    with parts.sessions.begin() as session:
        mail_checkpoint(session, signed, auditor, **how)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    [(envelope, content)] = transport.accepted
    assert envelope.recipient == "auditor@outside.test"
    mail = message_from_bytes(content, policy=default)
    assert mail["Subject"] == "Checkpoint of the consent log: 3"
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert f"\n{signed.note}" in text.replace("\r\n", "\n")
    with parts.sessions.begin() as session:
        hashed = b.address_hash(auditor, parts.suppression_key)
        suppress(session, hashed, b.SuppressionReason.OPERATOR, now=b.NOW)
        with pytest.raises(CannotMail, match="suppressed"):
            mail_checkpoint(session, signed, auditor, **how)


def test_without_a_newsletter_there_is_nobody_who_could_mail_it(sqlite_parts: Parts) -> None:
    parts = sqlite_parts
    signed = sign(parts)
    with parts.sessions.begin() as session, pytest.raises(CannotMail, match="newsletter add"):
        mail_checkpoint(
            session, signed, b.parse_address("auditor@outside.test"), renderer=parts.renderer,
            suppression_key=parts.suppression_key, now=b.NOW,
        )  # fmt: skip
