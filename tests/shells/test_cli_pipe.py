"""Commands in a pipe: whoever reads may go before the end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from processes import WITHIN, clean_environment

AS_KILLED_BY_SIGPIPE = 141


def _answers_nobody(home, *arguments):
    """Run `mailer …` into a pipe whose reader is gone, and return how it ended."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-m", "mailer", *arguments],
            env=clean_environment(MAILER_HOME=str(home)), stdin=subprocess.DEVNULL,
            stdout=writing, stderr=subprocess.PIPE, text=True, timeout=WITHIN,
        )  # fmt: skip
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    "line",
    ["subscriber list", "subscriber list --json", "subscriber export weekly", "status",
     "newsletter show weekly", "doctor", "--help", "subscriber --help"],
)  # fmt: skip
def test_an_answer_that_nobody_reads_ends_quietly(weekly, home, line):
    ended = _answers_nobody(home, *line.split())
    assert ended.stderr == ""
    assert ended.returncode == AS_KILLED_BY_SIGPIPE


def test_what_is_done_is_done_though_nobody_reads_of_it(weekly, home):
    line = ["subscriber", "unsubscribe", "amina@readers.test", "--json"]
    ended = _answers_nobody(home, *line)
    assert (ended.returncode, ended.stderr) == (AS_KILLED_BY_SIGPIPE, "")
    shown = weekly("subscriber", "show", "amina@readers.test", "--json").document
    assert [each["state"] for each in shown["subscriptions"]] == ["left"]


def test_what_goes_wrong_is_told_though_nobody_reads_the_answer(weekly, home):
    ended = _answers_nobody(home, "subscriber", "show", "nobody@readers.test", "--json")
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1


def test_a_shell_sees_no_trouble_in_the_usual_way_to_read_a_beginning(weekly, home):
    shell = f"{sys.executable} -m mailer subscriber list --json | true"
    ended = subprocess.run(
        shell, shell=True, env=clean_environment(MAILER_HOME=str(home)), capture_output=True,
        text=True, timeout=WITHIN,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
