"""A file that a command writes is whole or not there, however the command ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mailer.cli.new_file import new_file
from mailer.domain.persons import Person
from mailer.services.privacy.erasing import left_in
from mailer.wiring import Parts

WRITES_FOR_EVER = """
import signal, sys, time
from pathlib import Path
from mailer.cli.new_file import new_file
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where tests run beside a shell
with new_file(Path(sys.argv[1]), replace=False) as file:
    file.write("ada@readers.test")
    file.flush()
    print("written", flush=True)
    time.sleep(60)
"""


def _end(path: Path, number: int) -> int:
    """Write to a file for ever in a process of its own, and end that; return its status."""
    command = [sys.executable, "-c", WRITES_FOR_EVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        assert process.stdout.readline() == b"written\n"
        process.send_signal(number)
        return process.wait(30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    assert _end(tmp_path / "readers.csv", number) != 0
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_command_leaves_goes_with_the_next_file_and_nothing_else_does(
    tmp_path: Path,
) -> None:
    assert _end(tmp_path / "readers.csv", signal.SIGKILL) == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.stat().st_mode & 0o777 == 0o600
    foreign = tmp_path / ".theirs.4711.part"
    foreign.write_text("not ours")
    for hours, stays in ((0, True), (2, False)):  # as long as somebody may still write to it
        for each in (left, foreign):
            at = each.stat().st_mtime - hours * 3600
            os.utime(each, (at, at))
        with new_file(tmp_path / f"another{hours}.csv", replace=False) as file:
            file.write("whole")
        assert left.exists() is stays
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == [".theirs.4711.part", "another0.csv", "another2.csv"]


def test_an_erasure_names_what_a_killed_export_has_left(sqlite_parts: Parts) -> None:
    left = sqlite_parts.settings.home / ".readers.csv.4711.mailer-part"
    left.write_text("subscriber_id,email\n1,Ada@readers.test\n")
    assert left_in(sqlite_parts.places, Person(("ada@readers.test",))) == [left]
