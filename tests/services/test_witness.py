"""The witness folder: journals that nothing gets lost from, and an old database that is known."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import building as b
import pytest
from backups import Backup
from building import NOW
from sqlalchemy import func, select, update

from mailer.domain.consent import ConsentState, Method
from mailer.domain.leaves import instant
from mailer.services.consent.preferences import withdraw
from mailer.services.consent.witnessing import look_for_rollback, visit
from mailer.store.consents import Evidence, record
from mailer.store.halting import halted_reason
from mailer.store.journal import Erased, Suppressed, parse, tell
from mailer.store.models import Installation, JournalPending, Newsletter, Subscriber, Witness
from mailer.store.readers import ReaderDetails, find_or_add_reader
from mailer.store.suppressions import lift, suppress
from mailer.store.witness import highest_ids
from mailer.store.witness_folder import WitnessFolder
from mailer.wiring import Parts

LEAVES = Evidence(Method.ONE_CLICK, ip="192.0.2.9")


@pytest.fixture
def told(parts: Parts) -> Parts:
    """An installation with two readers whose witness has been told of them."""
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), 2)
    visited(parts)
    return parts


def test_who_leaves_is_written_down_outside_of_the_database(told: Parts) -> None:
    leaves(told, "reader0@readers.test")
    visited(told)
    [line] = journal(told, "withdrawals")
    assert line["newsletter"] == "weekly"
    assert line["purpose"] == "updates"
    assert (line["state"], line["method"]) == ("withdrawn", "one-click")
    assert line["at"] == instant(NOW)
    written = (told.witness.path / "withdrawals.jsonl").read_text("utf-8")
    assert "reader0" not in written
    assert "192.0.2.9" not in written
    with told.sessions() as session:
        reader = session.scalars(select(Subscriber).where(Subscriber.email.like("reader0%"))).one()
        assert line["address_hash"] == reader.address_hash
        assert session.scalar(select(func.count()).select_from(JournalPending)) == 0


def test_what_time_ends_is_not_for_time_ends_it_again(told: Parts) -> None:
    with told.sessions.begin() as session:
        reader = session.scalars(select(Subscriber)).first()
        purpose = session.scalars(select(Newsletter)).one().purposes[0]
        ended = Evidence(Method.EXPIRY)
        assert reader is not None
        assert record(session, reader, purpose, ConsentState.EXPIRED, ended, now=NOW)
    visited(told)
    assert journal(told, "withdrawals") == []


def test_suppressions_and_lifts_keep_their_order(told: Parts) -> None:
    reason = b.SuppressionReason.COMPLAINT
    for again in range(2):
        with told.sessions.begin() as session:
            assert suppress(session, "a-hash", reason, now=NOW, detail="in the relay's words")
            assert not suppress(session, "a-hash", reason, now=NOW)
        with told.sessions.begin() as session:
            assert lift(session, "a-hash", now=NOW + timedelta(hours=again))
            assert not lift(session, "a-hash", now=NOW)
    visited(told)
    lines = journal(told, "suppressions")
    assert [line["reason"] for line in lines] == ["complaint", None] * 2
    assert {(line["address_hash"], line["scope"]) for line in lines} == {("a-hash", "all")}
    assert "words" not in json.dumps(lines)


def test_a_transaction_that_is_undone_tells_nothing(told: Parts) -> None:
    with told.sessions() as session:
        suppress(session, "a-hash", b.SuppressionReason.OPERATOR, now=NOW)
        session.rollback()
    visited(told)
    assert journal(told, "suppressions") == []


def test_a_visit_killed_after_writing_tells_twice_and_loses_nothing(
    told: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves(told, "reader0@readers.test")
    with monkeypatch.context() as patched:
        patched.setattr("mailer.services.consent.witnessing.forget_told", killed)
        with pytest.raises(Killed):
            visited(told)
    visited(told)
    first, second = journal(told, "withdrawals")
    assert {**first, "beat": 0} == {**second, "beat": 0}


def test_a_torn_line_is_left_alone_and_the_next_one_is_whole(told: Parts) -> None:
    leaves(told, "reader0@readers.test")
    visited(told)
    file = told.witness.path / "withdrawals.jsonl"
    file.write_bytes(file.read_bytes()[:-20])  # the power went here
    leaves(told, "reader1@readers.test")
    visited(told)
    torn, whole = told.witness.lines("withdrawals")
    assert torn.line is None
    assert whole.line is not None
    assert file.read_bytes().count(b"\n") == 2


def test_more_lines_than_fit_in_one_batch_are_all_told(told: Parts) -> None:
    with told.sessions.begin() as session:
        for number in range(2_300):
            tell(session, Erased(NOW, f"hash {number}", number, "cli"))
    visited(told)
    lines = journal(told, "erasures")
    assert [line["reader"] for line in lines] == list(range(2_300))


def test_the_folder_is_of_its_owner_alone(told: Parts) -> None:
    leaves(told, "reader0@readers.test")
    visited(told)
    assert stat.S_IMODE(told.witness.path.stat().st_mode) == 0o700
    files = [path for path in told.witness.path.iterdir() if path.is_file()]
    assert {path.name for path in files} == {".lock", "position.json", "withdrawals.jsonl"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_visit_waits_for_no_other(told: Parts) -> None:
    before = told.witness.position()
    with told.witness.alone() as alone:
        assert alone
        visited(told)
    assert told.witness.position() == before
    visited(told)
    after = told.witness.position()
    assert before is not None
    assert after is not None
    assert after.beat == before.beat + 1


def test_an_old_database_is_halted_when_a_process_starts(told: Parts) -> None:
    backup = Backup(told)
    visited(told)
    assert look_for_rollback(told.sessions, told.witness, now=NOW) is None
    backup.put_back()
    reason = look_for_rollback(told.sessions, told.witness, now=NOW)
    assert reason == (
        f"This database is an old one: the witness folder {told.witness.path} was told of 1 later "
        "states of it, so that it was restored from a backup."
    )
    assert halted(told) == reason


def test_an_old_database_is_halted_while_everything_runs(told: Parts) -> None:
    backup = Backup(told)
    visited(told)
    before = told.witness.position()
    backup.put_back()
    visited(told)
    assert "is an old one" in halted(told)
    visited(told)
    assert told.witness.position() == before  # and it stays known


def test_who_leaves_while_all_is_halted_is_written_down_as_well(told: Parts) -> None:
    backup = Backup(told)
    visited(told)
    backup.put_back()
    visited(told)
    leaves(told, "reader1@readers.test")
    visited(told)
    [line] = journal(told, "withdrawals")
    position = told.witness.position()
    assert position is not None
    assert line["beat"] == position.beat


def test_ids_in_signed_links_are_not_given_twice_after_a_restoration(told: Parts) -> None:
    backup = Backup(told)
    lost = new_reader(told, "lost@readers.test")
    visited(told)
    backup.put_back()
    look_for_rollback(told.sessions, told.witness, now=NOW)
    found = new_reader(told, "found@readers.test")
    assert found > lost
    look_for_rollback(told.sessions, told.witness, now=NOW)  # every process does
    visited(told)
    assert new_reader(told, "next@readers.test") == found + 1
    with told.sessions() as session:
        assert set(highest_ids(session)) >= {"subscriber", "newsletter"}


def test_the_folder_of_another_database_is_not_written_to(told: Parts) -> None:
    before = told.witness.position()
    assert before is not None
    with told.sessions.begin() as session:
        session.execute(update(Installation).values(created_at=NOW))
    visited(told)
    assert "belongs to another database" in halted(told)
    leaves(told, "reader0@readers.test")
    visited(told)
    assert told.witness.position() == before
    assert journal(told, "withdrawals") == []


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[" * 100_000,
        '{"installation": "", "beat": 1e999, "ids": {}}',
        '{"installation": "", "beat": 9007199254740992, "ids": {}}',
        '{"installation": "", "beat": 1, "ids": {"subscriber": 1e999}}',
    ],
    ids=["empty", "deep", "endless", "too large", "endless id"],
)
def test_a_position_that_cannot_be_understood_halts(told: Parts, content: str) -> None:
    (told.witness.path / "position.json").write_text(content)
    assert look_for_rollback(told.sessions, told.witness, now=NOW) == (
        f"{told.witness.path}/position.json cannot be understood."
    )


def test_a_database_without_its_folder_is_halted(told: Parts, tmp_path: Path) -> None:
    visited(told)
    empty = WitnessFolder(tmp_path / "empty")
    visit(told.sessions, empty, now=NOW + timedelta(hours=2))
    assert halted(told) == (
        f"The witness folder {tmp_path}/empty is empty, and this database was in one at "
        f"{NOW:%Y-%m-%d %H:%M} UTC: it was moved or restored without its folder, or "
        "MAILER_WITNESS_DIR is another one now."
    )


def test_another_machine_may_have_a_folder_of_its_own(told: Parts, tmp_path: Path) -> None:
    visited(told)
    second = WitnessFolder(tmp_path / "second")
    visit(told.sessions, second, now=NOW + timedelta(minutes=1))
    backup = Backup(told)
    visited(told)
    visit(told.sessions, second, now=NOW + timedelta(minutes=1))
    assert halted(told) == ""
    backup.put_back()
    visit(told.sessions, second, now=NOW + timedelta(minutes=2))
    assert "is an old one" in halted(told)


def test_a_first_visit_that_is_killed_is_a_first_visit_again(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(WitnessFolder, "note", killed)
        for _ in range(3):
            with pytest.raises(Killed):
                visited(parts)
    visit(parts.sessions, parts.witness, now=NOW + timedelta(days=1))
    assert halted(parts) == ""
    with parts.sessions() as session:
        assert session.scalars(select(Witness.beat)).one() == 1


def test_a_visit_killed_before_its_position_is_noted_halts_nothing(
    told: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(WitnessFolder, "note", killed)
        with pytest.raises(Killed):
            visited(told)
    visited(told)
    assert halted(told) == ""


def test_what_stood_on_the_list_before_the_upgrade_is_told_too(parts: Parts) -> None:
    """The migration's own lines read like ours (test_upgrade_to_the_log.py makes some)."""
    line = {"at": instant(NOW), "address_hash": "h", "scope": "all"}
    told = parse("suppressions", {**line, "reason": "complaint"})  # type: ignore[arg-type]
    assert told == Suppressed(NOW, "h", "all", b.SuppressionReason.COMPLAINT)


def test_lines_of_nobody_knows_what_tell_nothing() -> None:
    for line in ({}, {"at": "x", "address_hash": ""}, {"at": "2026-11-24", "address_hash": None}):
        assert parse("withdrawals", line) is None  # type: ignore[arg-type]


class Killed(Exception):
    """Stands for the death of the process."""


def killed(*_: Any, **__: Any) -> None:
    """Die here."""
    raise Killed


def visited(parts: Parts) -> None:
    """Visit the folder."""
    visit(parts.sessions, parts.witness, now=NOW)


def leaves(parts: Parts, address: str) -> None:
    """Let the reader leave by one click."""
    with parts.sessions.begin() as session:
        reader = session.scalars(select(Subscriber).where(Subscriber.email == address)).one()
        assert withdraw(session, reader, LEAVES, now=NOW)


def new_reader(parts: Parts, address: str) -> int:
    """Add a reader; return the number."""
    with parts.sessions.begin() as session:
        parsed = b.parse_address(address)
        details = ReaderDetails()
        return find_or_add_reader(session, parsed, parts.suppression_key, details, now=NOW).id


def journal(parts: Parts, name: str) -> list[dict[str, Any]]:
    """Return the journal's lines."""
    return [dict(told.line or {}) for told in parts.witness.lines(name)]


def halted(parts: Parts) -> str:
    """Return why the installation is halted; empty where it is not."""
    with parts.sessions() as session:
        return halted_reason(session) or ""
