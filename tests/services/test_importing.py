"""A list of readers comes in: whole, once, and with where it is from."""

from __future__ import annotations

import csv
import random
from calendar import isleap
from pathlib import Path
from typing import Any

import building as b
import pytest
from imports import (
    counts,
    everything,
    known_people,
    refuse_unsound,
    standing,
    surroundings,
    take_in,
    write_list,
)
from sqlalchemy import func, select

from mailer.domain.consent import Basis
from mailer.domain.errors import Refusal
from mailer.domain.spans import Span
from mailer.domain.suppression import SuppressionReason
from mailer.lists.encoding import BrokenList
from mailer.services.imports.importing import import_list
from mailer.services.imports.order import CannotImport, ImportOrder
from mailer.services.newsletters.lookup import NotFound
from mailer.services.newsletters.notices import current_notice
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    Newsletter,
    OperatorAction,
    PendingLeaf,
    Subscriber,
    Subscription,
    delivery,
)
from mailer.store.suppressions import suppress
from mailer.wiring import Parts


@pytest.mark.usefixtures("made")
def test_readers_come_in_active_with_their_consent_and_where_it_is_from(
    parts: Parts, tmp_path: Path
) -> None:
    path = write_list(
        tmp_path / "list.csv",
        "E-Mail,First Name,Last Name,Optin Time,Stadt",
        "ada@readers.test,Ada,Obi,2024-02-01 10:00,Lagos",
        "Bola@Readers.test,Bola,,24.12.2023,",
        "jörg@bücher.example,Jörg,,,",
    )
    report = take_in(
        parts, path, purposes=("updates", "partner-promotions"), columns={"attribute.city": "Stadt"}
    )
    assert counts(report) == {"new": 3}
    assert report["columns"] == {
        "email": "E-Mail", "first_name": "First Name", "last_name": "Last Name",
        "stated_at": "Optin Time", "attribute.city": "Stadt",
    }  # fmt: skip
    both = {"updates": "active", "partner-promotions": "active"}
    assert standing(parts) == dict.fromkeys(
        ("ada@readers.test", "Bola@readers.test", "jörg@bücher.example"), both
    )
    refuse_unsound(parts)
    with parts.sessions() as session:
        ada = session.scalars(select(Subscriber).where(Subscriber.name == "Ada Obi")).one()
        assert ada.attributes == {"city": "Lagos"}
        events = session.scalars(
            select(ConsentEvent).where(ConsentEvent.subscriber_id == ada.id)
        ).all()
        assert {
            (event.state, event.method, f"{event.stated_at:%Y-%m-%d %H}") for event in events
        } == {("given", "import", "2024-02-01 10")}
        assert session.scalar(select(func.count()).select_from(delivery)) == 0
        acts = session.scalars(select(OperatorAction).order_by(OperatorAction.id)).all()
        assert [act.details["finished"] for act in acts] == [False, True]
        assert acts[1].operator == parts.operator
        assert acts[1].details["counts"]["new"] == 3
    assert {each["source"] for each in b.evidences(parts)} == {
        f"paper (list.csv, line {line})" for line in (2, 3, 4)
    }


@pytest.mark.usefixtures("made")
def test_importing_again_changes_nothing_and_says_so(parts: Parts, tmp_path: Path) -> None:
    rows = [f"reader{number}@readers.test" for number in range(40)]
    path = write_list(tmp_path / "list.csv", "email", *rows, "READER1@readers.test", "nobody")
    first = take_in(parts, path)
    assert counts(first) == {"new": 40, "doubled": 1, "rejected": 1}
    assert first["examples"]["doubled"] == [{"line": 42, "same_as_line": 3}]
    before = everything(parts)
    for purposes in (("updates",), ("updates", "updates")):
        again = take_in(parts, path, purposes=purposes)
        assert counts(again) == {"already": 40, "doubled": 1, "rejected": 1}
        assert again["imported_before"]
    assert everything(parts) == before
    other = take_in(parts, path, source="another day")  # other terms: looked at anew
    assert counts(other) == {"already": 40, "doubled": 1, "rejected": 1}
    assert everything(parts)["consent_event"] == before["consent_event"]


@pytest.mark.usefixtures("made")
def test_a_dry_run_foresees_every_number_and_writes_nothing(parts: Parts, tmp_path: Path) -> None:
    path = known_people(parts, tmp_path)
    before, files = everything(parts), sorted(tmp_path.rglob("*"))
    foreseen = take_in(parts, path, dry_run=True)
    assert everything(parts) == before
    assert [each for each in sorted(tmp_path.rglob("*")) if "-wal" not in each.name] == [
        each for each in files if "-wal" not in each.name
    ]
    done = take_in(parts, path)
    assert counts(foreseen) == counts(done)
    assert foreseen["examples"]["rejected"] == done["examples"]["rejected"]
    refuse_unsound(parts)


@pytest.mark.usefixtures("made")
def test_an_implied_consent_ends_by_itself_and_one_that_has_ended_does_not_come_in(
    parts: Parts, tmp_path: Path
) -> None:
    bought = b.NOW.replace(year=b.NOW.year - 1, month=12, day=31)
    ends = f"{b.NOW.year + 1}-02-{29 if isleap(b.NOW.year + 1) else 28}"
    path = write_list(
        tmp_path / "buyers.csv", "email,bought", f"ada@readers.test,{bought:%Y-%m-%d}",
        "old@readers.test,2020-01-01", "bola@readers.test,",
    )  # fmt: skip
    report = take_in(
        parts, path, basis=Basis.IMPLIED, valid_for=Span(14, 0), columns={"stated_at": "bought"}
    )
    assert counts(report) == {"new": 2, "rejected": 1}
    assert report["examples"]["rejected"][0]["reason"] == "the implied consent ended on 2021-03-01"
    with parts.sessions() as session:
        for table in (Subscription, ConsentEvent):
            found = {f"{each:%Y-%m-%d}" for each in session.scalars(select(table.valid_until))}
            assert ends in found
            assert len(found) == 2
        assert set(session.scalars(select(ConsentEvent.basis))) == {"implied"}
    refuse_unsound(parts)


@pytest.mark.usefixtures("made")
def test_the_wording_that_is_known_stands_in_the_events(parts: Parts, tmp_path: Path) -> None:
    path = write_list(tmp_path / "list.csv", "email", "ada@readers.test")
    take_in(parts, path, notice="1")
    with parts.sessions() as session:
        newsletter = session.scalars(select(Newsletter)).one()
        notice = current_notice(session, newsletter, "en")
        event = session.scalars(select(ConsentEvent)).one()
        assert notice
        assert (event.notice_id, event.notice_assumed) == (notice.id, False)
        sha256 = notice.sha256
    refuse_unsound(parts)
    report = take_in(parts, path, notice=sha256)
    assert report["imported_before"]
    with pytest.raises(CannotImport, match="no notice “9”"):
        take_in(parts, path, notice="9")


class PulledOut(Exception):
    """The power goes here."""


@pytest.mark.usefixtures("made")
def test_an_interrupted_import_goes_on_where_it_stopped(parts: Parts, tmp_path: Path) -> None:
    rng = random.Random(7)
    rows = [f"reader{number}@readers.test" for number in range(4_000)]
    rows += [*rng.sample(rows, 30), "nobody"]
    path = write_list(tmp_path / "list.csv", "email", *rows)
    order = ImportOrder("weekly", path, ("updates",), "paper")
    interrupted = 0
    for after in range(1, 30):

        def pull(doing: str, done: int, total: int, left: list[int] = [after]) -> None:  # noqa: B006
            if doing == "importing":
                left[0] -= 1
                if not left[0]:
                    raise PulledOut

        try:
            report = import_list(order, surroundings(parts, pull), dry_run=False)
        except PulledOut:
            interrupted += 1
        else:
            break
    assert interrupted > 1
    assert counts(report) == {"new": 4_000, "doubled": 30, "rejected": 1}
    assert report["resumed_at"] > 0
    with parts.sessions() as session:
        for table in (Subscriber, Subscription, ConsentEvent, ConsentEvidence, PendingLeaf):
            assert session.scalar(select(func.count()).select_from(table)) == 4_000
    refuse_unsound(parts)


@pytest.mark.usefixtures("made")
def test_a_broken_quote_far_down_is_named_and_nothing_comes_in(
    parts: Parts, tmp_path: Path
) -> None:
    rows = [f'reader{number}@readers.test,"Reader"' for number in range(9_000)]
    rows[8_000] = 'reader8000@readers.test,"Reader'
    path = write_list(tmp_path / "list.csv", "email,name", *rows)
    before = everything(parts)
    with pytest.raises(BrokenList, match="line 8002: ") as broken:
        take_in(parts, path)
    assert "Nothing was imported" in str(broken.value)
    assert everything(parts) == before


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ({"newsletter": "daily"}, NotFound, "no newsletter “daily”"),
        ({"purposes": ("sport",)}, NotFound, "no purpose “sport”"),
        ({"purposes": ()}, CannotImport, "--purpose"),
        ({"source": " "}, CannotImport, "--source"),
        ({"columns": {"email": "Post"}}, Refusal, "no column “Post”"),
        ({"confirm": True, "basis": Basis.IMPLIED}, CannotImport, "--confirm"),
        ({"valid_for": Span(24, 0)}, CannotImport, "--valid-for"),
        ({"encoding": "klingon"}, BrokenList, "no encoding"),
    ],
)
@pytest.mark.usefixtures("made")
def test_what_cannot_be_done_is_said_before_anything_is_written(
    parts: Parts, tmp_path: Path, more: dict[str, Any], kind: type[Refusal], words: str
) -> None:
    path = write_list(tmp_path / "list.csv", "email,name", "ada@readers.test,Ada")
    before = everything(parts)
    with pytest.raises(kind, match=words):
        take_in(parts, path, **more)
    assert everything(parts) == before


@pytest.mark.usefixtures("made")
def test_who_signs_up_or_is_suppressed_in_the_middle_of_a_transaction_is_seen(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL others write while we do; SQLite lets nobody else write meanwhile."""
    if parts.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    from mailer.services.imports import writing as import_writing

    insert_new, meanwhile = import_writing.insert_new, ["ada", "bola"]

    def hurried(session: Any, *prepared: Any) -> None:
        if meanwhile:
            name = meanwhile.pop()
            with parts.sessions.begin() as other:
                newsletter = other.scalars(select(Newsletter)).one()
                if name == "ada":
                    b.sign_up(parts, other, newsletter, "ada@readers.test")
                else:
                    address = b.parse_address(f"{name}@readers.test")
                    hashed = b.address_hash(address, parts.suppression_key)
                    suppress(other, hashed, SuppressionReason.ERASURE, now=b.NOW)
        insert_new(session, *prepared)

    monkeypatch.setattr(import_writing, "insert_new", hurried)
    path = write_list(
        tmp_path / "list.csv",
        "email",
        *(f"{name}@readers.test" for name in ("ada", "bola", "cleo")),
    )
    assert counts(take_in(parts, path)) == {"new": 2, "suppressed": 1}
    assert standing(parts) == {
        "ada@readers.test": {"updates": "active"}, "cleo@readers.test": {"updates": "active"},
    }  # fmt: skip
    refuse_unsound(parts)


@pytest.mark.usefixtures("made")
def test_bad_rows_go_to_a_file_of_our_own_with_reasons_and_no_formula_lives_in_it(
    parts: Parts, tmp_path: Path
) -> None:
    path = write_list(
        tmp_path / "list.csv", "email,name", "=cmd|' /C calc'!A0,+1", "ada@readers.test,Ada",
        '@x,"\tTab"', "too,many,cells", "bo\0la@readers.test,Bola", "cleo@readers.test,a\0b",
    )  # fmt: skip
    report = take_in(parts, path)
    assert counts(report) == {"new": 1, "rejected": 5}
    rejects = tmp_path / "list.csv.rejected.csv"
    assert report["rejects"] == str(rejects)
    assert rejects.stat().st_mode & 0o777 == 0o600
    with rejects.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["line", "reason", "email", "name"]
    assert [row[0] for row in rows] == ["2", "4", "5", "6", "7"]
    assert all(row[1] for row in rows)
    assert rows[0][2:] == ["'=cmd|' /C calc'!A0", "'+1"]
    assert rows[1][2:] == ["'@x", "'\tTab"]
    assert not any(cell[:1] in "=+-@\t\r" for row in rows for cell in row[2:] if cell)
    mended = write_list(tmp_path / "mended.csv", "line,email,name", "2,bola@readers.test,'=Bola")
    assert counts(take_in(parts, mended)) == {"new": 1}
    with parts.sessions() as session:  # the apostrophe was ours
        assert set(session.scalars(select(Subscriber.name))) == {"Ada", "=Bola"}
    (tmp_path / "mine.csv").write_text("something else")
    with pytest.raises(Refusal, match="is no reject file"):
        take_in(parts, path, source="another", rejects=tmp_path / "mine.csv")


@pytest.mark.usefixtures("made")
def test_a_long_list_is_prepared_by_a_process_of_its_own(parts: Parts, tmp_path: Path) -> None:
    rows = [f"reader{number}@readers.test,{'Amina ' * 4}" for number in range(5_500)]
    path = write_list(tmp_path / "list.csv", "email,name", *rows, "nobody,")
    assert counts(take_in(parts, path)) == {"new": 5_500, "rejected": 1}
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(ConsentEvent)) == 5_500
    refuse_unsound(parts)
