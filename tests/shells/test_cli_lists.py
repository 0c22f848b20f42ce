"""Lists of readers and of suppressed addresses as files: whole, ours alone, and read back."""

from __future__ import annotations

import csv
import io
import stat

import pytest
from shells.endings import refused

from mailer.cli import exporting
from mailer.domain.csv_cells import restored


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_an_export_holds_every_name_and_no_formula(weekly, tmp_path):
    names = ["=cmd|' /C calc'!A0", "+2348012345678", "-", "@x", "'=1", 'a "b" c', "مرحبا", "a;=b"]
    for number, name in enumerate(names):
        weekly(
            *("subscriber", "add", "weekly", f"r{number}@readers.test", "--purpose", "updates"),
            *("--source", "paper", "--name", name),
        )
    out = tmp_path / "readers.csv"
    ended = weekly("subscriber", "export", "weekly", "--out", str(out), "--json")
    assert ended.document == {"file": str(out), "readers": len(names) + 1}
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    text = out.read_bytes().decode()
    written = rows(text)
    assert [restored(row["name"]) for row in written] == ["", *names]
    assert not any(cell[:1] in "=+-@" for row in written for cell in row.values() if cell)
    assert text == weekly("subscriber", "export", "weekly").out
    listed = weekly("subscriber", "export", "weekly", "--json").document
    assert [row["name"] for row in listed] == ["", *names]


def test_a_file_that_exists_is_replaced_only_by_order_and_never_half(weekly, tmp_path, monkeypatch):
    out = tmp_path / "readers.csv"
    out.write_text("what was there", "utf-8")
    line = ("subscriber", "export", "weekly", "--out", str(out))
    refused(weekly(*line), f"{out} exists already: choose another name, or add --yes.")

    def breaks(*_: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(exporting, "_lines", breaks)
        assert weekly(*line, "--yes").status == 1
    assert [path.name for path in tmp_path.glob("*readers*")] == ["readers.csv"]
    assert out.read_text("utf-8") == "what was there"
    assert weekly(*line, "--yes").status == 0
    assert len(rows(out.read_text("utf-8"))) == 1
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("out", ["/dev/null", ".", "no/such/folder/readers.csv"])
def test_what_cannot_be_a_new_file_is_refused_before_anything_is_noted(weekly, out):
    ended = weekly("subscriber", "export", "weekly", "--out", out, "--yes")
    assert ended.status == 1
    assert len(ended.err.splitlines()) == 1
    if out != "no/such/folder/readers.csv":
        trail = weekly("publisher", "trail", "--json").document
        assert "subscriber export" not in [row["action"] for row in trail]


def test_a_suppression_list_moves_to_another_installation_under_the_same_key(
    weekly, tmp_path, home, monkeypatch
):
    weekly("suppression", "add", "nobody@readers.test", "--detail", "=by phone, twice\tsaid")
    weekly("suppression", "add", "amina@readers.test", "--newsletter", "weekly")

    def listed():
        return sorted(
            weekly("suppression", "list", "--json").document, key=lambda row: row["address_hash"]
        )

    before = listed()
    out = tmp_path / "suppressed.csv"
    assert weekly("suppression", "export", "--out", str(out)).status == 0
    assert [row["email"] for row in rows(out.read_text("utf-8"))] == ["", "amina@readers.test"]
    for each in before:
        scope = [] if each["scope"] == "all" else ["--newsletter", each["scope"]]
        address = each["email"] or "nobody@readers.test"
        assert weekly("suppression", "remove", address, *scope, "--yes").status == 0
    for number in (2, 0):
        done = weekly("suppression", "import", str(out), "--json").document
        assert done == {"added": number, "known": 2 - number, "rejected": 0}
    assert listed() == before
    monkeypatch.setenv("MAILER_HOME", str(tmp_path / "other"))
    weekly("init")
    other = weekly("suppression", "import", str(out), "--json")
    assert other.document == {"added": 0, "known": 0, "rejected": 2}
    assert other.err.splitlines() == [
        "Line 2: its hash was made with another MAILER_SUPPRESSION_KEY",
        "Line 3: there is no newsletter “weekly”",
    ]


def test_lines_that_cannot_be_used_go_to_a_file_with_their_numbers(weekly, tmp_path):
    given, bad = tmp_path / "angry.txt", tmp_path / "bad.csv"
    given.write_bytes(
        b"one@readers.test\n=cmd()\n\xff@x\n" + b"y" * 100_000 + b"\ntwo@readers.test"
    )
    ended = weekly("suppression", "import", str(given), "--rejects", str(bad), "--json")
    assert ended.document == {"added": 2, "known": 0, "rejected": 3}
    assert stat.S_IMODE(bad.stat().st_mode) == 0o600
    assert [(row["line"], row["text"][:7]) for row in rows(bad.read_text("utf-8"))] == [
        ("2", "'=cmd()"), ("3", "�@x"), ("4", "yyyyyyy"),
    ]  # fmt: skip


def test_a_reader_who_is_imported_onto_the_list_is_told_so_in_their_history(weekly, tmp_path):
    given = tmp_path / "angry.txt"
    given.write_text("amina@readers.test\n", "utf-8")
    assert weekly("suppression", "import", str(given)).out == (
        "1 added, 0 stood on the list already.\n"
    )
    told = weekly("subscriber", "history", "amina@readers.test").out
    assert "suppression import by " in told


def test_a_list_that_is_not_there_is_refused(weekly, tmp_path):
    gone = tmp_path / "gone.txt"
    refused(
        weekly("suppression", "import", str(gone)),
        f"Cannot read {gone} (No such file or directory): check the path.",
    )
